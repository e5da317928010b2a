#include "bus/recycled.hpp"

namespace caisson {

/// Gives the thread's stock back to the heap.
struct Recycled::AtThreadEnd {
  ~AtThreadEnd() {
    stock.ended = true;
    stock.limit = 0;
    stock.kept = 0;
    for (Block*& first : stock.first) {
      while (first != nullptr) {
        Block* const block = first;
        first = block->next;
        ::operator delete(block);
      }
    }
  }
};

void Recycled::free_beyond(void* memory, std::size_t size) noexcept {
  if (stock.limit != 0 || stock.ended) return ::operator delete(memory);
  thread_local const AtThreadEnd at_thread_end;
  stock.limit = kMostKept;
  operator delete(memory, size);
}

}  // namespace caisson
