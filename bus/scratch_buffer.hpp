#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace caisson {

/// A buffer for bytes that are used before the next read, to be shared by all who read on a thread:
///
///   thread_local ScratchBuffer<kReadSize> scratch;
///
/// A thread_local array would lie on the stack of every thread there is, and be touched when that starts;
/// this takes its memory in the thread that comes by, and touches what is read.
template <std::size_t kSize>
class ScratchBuffer {
 public:
  operator std::span<char>() { return {bytes_.get(), kSize}; }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] char* data() { return bytes_.get(); }

 private:
  std::unique_ptr<char[]> bytes_ = std::make_unique_for_overwrite<char[]>(kSize);
};

}  // namespace caisson
