#include "net/openssl_library.hpp"

#include "bus/shared_library.hpp"

namespace caisson::net {

#define CAISSON_DEFINE(name) decltype(&::name) name = nullptr;
CAISSON_OPENSSL_FUNCTIONS(CAISSON_DEFINE)
#undef CAISSON_DEFINE

namespace {

Result<void> load() {
  // With it comes libcrypto, whose symbols are found through it.
  ASSIGN(const SharedLibrary library, SharedLibrary::load("libssl.so.3"));
#define CAISSON_FIND(name) TRY(library.find(#name, name));
  CAISSON_OPENSSL_FUNCTIONS(CAISSON_FIND)
#undef CAISSON_FIND
  return ok();
}

}  // namespace

Result<void> load_openssl() {
  static const Result<void> loaded = load();
  return loaded;
}

}  // namespace caisson::net
