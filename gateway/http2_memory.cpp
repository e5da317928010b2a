#include "gateway/http2_memory.hpp"
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "bus/recycled.hpp"

namespace caisson::gateway {

namespace {

/// Before each piece stands how long it is: nghttp2 does not say it when it gives one back.
constexpr std::size_t kSizeField = alignof(std::max_align_t);
static_assert(kSizeField >= sizeof(std::size_t));

std::size_t size_of(const void* piece) {
  std::size_t size = 0;
  std::memcpy(&size, static_cast<const char*>(piece) - kSizeField, sizeof size);
  return size;
}

/// Null where there is no memory: nghttp2 is C, and ends its session.
void* allocate(std::size_t size, void*) {
  if (size > PTRDIFF_MAX - kSizeField) return nullptr;
  try {
    char* const block = static_cast<char*>(Recycled::operator new(kSizeField + size));
    std::memcpy(block, &size, sizeof size);
    return block + kSizeField;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void release(void* piece, void*) {
  if (piece == nullptr) return;
  Recycled::operator delete(static_cast<char*>(piece) - kSizeField, kSizeField + size_of(piece));
}

void* allocate_zeroed(std::size_t count, std::size_t size, void*) {
  std::size_t all = 0;
  if (__builtin_mul_overflow(count, size, &all)) return nullptr;
  void* const piece = allocate(all, nullptr);
  if (piece != nullptr) std::memset(piece, 0, all);
  return piece;
}

void* reallocate(void* piece, std::size_t size, void*) {
  if (piece == nullptr) return allocate(size, nullptr);
  void* const other = allocate(size, nullptr);
  if (other == nullptr) return nullptr;
  std::memcpy(other, piece, std::min(size, size_of(piece)));
  release(piece, nullptr);
  return other;
}

}  // namespace

nghttp2_mem* http2_memory() {
  static nghttp2_mem memory{nullptr, allocate, release, allocate_zeroed, reallocate};
  return &memory;
}

}  // namespace caisson::gateway
