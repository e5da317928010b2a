#include "bus/heap.hpp"

#include <malloc.h>

namespace caisson {

namespace {

/// From this on a piece has a mapping of its own: some ten page faults are small beside the copy.
[[maybe_unused]] constexpr int kOwnMapping = 128 * 1024;
/// Free memory at the end of the heap that is kept.
[[maybe_unused]] constexpr int kSpare = 256 * 1024;

}  // namespace

void give_large_memory_back() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, kOwnMapping);
  ::mallopt(M_TRIM_THRESHOLD, kSpare);
#endif
}

}  // namespace caisson
