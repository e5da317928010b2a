#pragma once

#include "bus/result.hpp"

namespace caisson {

/// A shared library that is loaded when it is first needed, so that a process that never needs it has
/// none of its pages, relocations and dependencies. Stays loaded. Any thread.
class SharedLibrary {
 public:
  /// By the name the system's loader knows ("libzmq.so.5"). kFailedPrecondition says why it cannot be
  /// loaded.
  static Result<SharedLibrary> load(const char* name);
  /// The address of a symbol of it or of what it depends on; kFailedPrecondition names it.
  [[nodiscard]] Result<void*> find(const char* symbol) const;

  /// The same, into a pointer to a function.
  template <class Function>
  Result<void> find(const char* symbol, Function*& into) const {
    ASSIGN(void* const address, find(symbol));
    into = reinterpret_cast<Function*>(address);
    return ok();
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  void* handle_;
};

}  // namespace caisson
