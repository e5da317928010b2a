#pragma once

#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define CAISSON_RECYCLES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAISSON_RECYCLES 0
#endif
#endif
#ifndef CAISSON_RECYCLES
#define CAISSON_RECYCLES 1
#endif

namespace caisson {

/// Base of what comes and goes with every request (coroutine frames, exchanges): its memory comes from a
/// stock of the thread, in sizes of 64 bytes and multiples up to 4 KiB, and goes back there, up to
/// kMostKept bytes; anything else is the heap's. With AddressSanitizer all of it is the heap's, so that
/// a use after the end is seen.
class Recycled {
 public:
  static constexpr std::size_t kStep = 64;
  static constexpr std::size_t kLargest = 4096;
  static constexpr std::size_t kMostKept = 512 * 1024;

  static void* operator new(std::size_t size) {
    if (CAISSON_RECYCLES == 0 || size > kLargest) return ::operator new(size);
    Block*& first = stock.first[class_of(size)];
    if (first == nullptr) return ::operator new(rounded(size));
    Block* const block = first;
    first = block->next;
    stock.kept -= rounded(size);
    return block;
  }

  static void operator delete(void* memory, std::size_t size) noexcept {
    if (CAISSON_RECYCLES == 0 || size > kLargest) return ::operator delete(memory);
    if (stock.kept + rounded(size) > stock.limit) return free_beyond(memory, size);
    Block*& first = stock.first[class_of(size)];
    first = new (memory) Block{first};
    stock.kept += rounded(size);
  }

 private:
  struct Block {
    Block* next;
  };
  struct Stock {
    Block* first[kLargest / kStep + 1];
    std::size_t kept;
    std::size_t limit;  // 0 before the thread's first block comes back, and at its end
    bool ended;
  };
  struct AtThreadEnd;

  static constexpr std::size_t class_of(std::size_t size) { return (size + kStep - 1) / kStep; }
  static constexpr std::size_t rounded(std::size_t size) { return class_of(size) * kStep; }
  /// There is no room in the stock, or no stock yet.
  static void free_beyond(void* memory, std::size_t size) noexcept;

  static inline constinit thread_local Stock stock{};
};

}  // namespace caisson
