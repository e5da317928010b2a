#include "bus/shared_library.hpp"

#include <dlfcn.h>

#include <string>

namespace caisson {

namespace {

Error loader_error() {
  const char* const why = ::dlerror();
  return {Errc::kFailedPrecondition, why == nullptr ? "the loader gives no reason" : why};
}

}  // namespace

Result<SharedLibrary> SharedLibrary::load(const char* name) {
  void* const handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return loader_error();
  return SharedLibrary(handle);
}

Result<void*> SharedLibrary::find(const char* symbol) const {
  void* const address = ::dlsym(handle_, symbol);
  if (address == nullptr) return loader_error();
  return address;
}

}  // namespace caisson
