#include "bus/zmq_library.hpp"

#include "bus/shared_library.hpp"

namespace caisson::zmq {

#define CAISSON_DEFINE(name) decltype(&::name) name = nullptr;
CAISSON_ZMQ_FUNCTIONS(CAISSON_DEFINE)
#undef CAISSON_DEFINE

namespace {

Result<void> load() {
  ASSIGN(const SharedLibrary library, SharedLibrary::load("libzmq.so.5"));
#define CAISSON_FIND(name) TRY(library.find(#name, name));
  CAISSON_ZMQ_FUNCTIONS(CAISSON_FIND)
#undef CAISSON_FIND
  return ok();
}

}  // namespace

Result<void> load_library() {
  static const Result<void> loaded = load();
  return loaded;
}

}  // namespace caisson::zmq
