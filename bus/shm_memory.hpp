#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "bus/file_descriptor.hpp"
#include "bus/result.hpp"

namespace caisson::shm {

/// A part of this process's address space; unmapped when destroyed. Move-only.
class Mapping {
 public:
  Mapping() = default;
  Mapping(char* data, std::size_t size) : data_(data), size_(size) {}
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Mapping() { reset(); }

  void reset();
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool contains(const char* byte) const { return byte >= data_ && byte < data_ + size_; }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A memory file with this process's mapping of it.
struct MemoryFile {
  FileDescriptor fd;
  Mapping mapping;
};

/// Memory that this process writes and whoever gets the descriptor can only read: all its pages are there,
/// zero, and it cannot shrink, grow or be mapped writable again. kResourceExhausted: no memory, no descriptor.
Result<MemoryFile> make_shared_memory(std::size_t size);

/// Memory to be filled and then given to seal_for_good().
Result<MemoryFile> make_memory(std::size_t size);
/// Ends writing for everybody, this process included; the mapping is gone afterwards.
Result<void> seal_for_good(MemoryFile& file);
/// A memory file with these bytes that nobody can change.
Result<FileDescriptor> make_sealed_file(std::string_view bytes);

/// Who may write what somebody else sent.
enum class Writer : std::uint8_t { kItsCreator, kNobody };

/// How many bytes of other processes' memory may be mapped; shared by those who map them.
struct MappedBudget {
  std::size_t used = 0;
  std::size_t limit = 0;
};

/// Takes a descriptor that another process sent: shared memory of exactly `size` bytes, all of them
/// there, with the seals that `writer` needs; mapped for reading. Else kInvalidArgument, or
/// kResourceExhausted when it cannot be mapped. Asks nothing of a descriptor that could make it wait.
Result<Mapping> map_from_peer(int fd, std::size_t size, Writer writer);

}  // namespace caisson::shm
