#include "bus/sealed_memory.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "bus/shm_memory.hpp"

namespace caisson {

namespace {

/// A mapping of a sealed file with its descriptor.
class SealedMemory final : public Memory {
 public:
  static Result<Buffer> open(FileDescriptor fd, std::size_t size, std::size_t from, std::size_t count) {
    ASSIGN(shm::Mapping mapping, shm::map_from_peer(fd.get(), size, shm::Writer::kNobody));
    auto* const memory = new SealedMemory(std::move(fd), std::move(mapping));
    return Buffer(MemoryRef(memory), {memory->mapping_.data() + from, count});
  }

  void release() noexcept override { delete this; }
  [[nodiscard]] SealedFile sealed() const noexcept override { return {fd_.get(), {mapping_.data(), mapping_.size()}}; }

 private:
  SealedMemory(FileDescriptor fd, shm::Mapping mapping) : fd_(std::move(fd)), mapping_(std::move(mapping)) {}

  FileDescriptor fd_;
  shm::Mapping mapping_;
};

}  // namespace

Result<Buffer> sealed_copy(std::string_view bytes) {
  if (bytes.empty()) return Buffer();
  ASSIGN(FileDescriptor fd, shm::make_sealed_file(bytes));
  return SealedMemory::open(std::move(fd), bytes.size(), 0, bytes.size());
}

Result<Buffer> share_sealed(const Buffer& buffer) {
  if (buffer.empty()) return Buffer();
  const SealedFile file = buffer.memory() == nullptr ? SealedFile{} : buffer.memory()->sealed();
  if (file.fd < 0) return Error{Errc::kFailedPrecondition, "the bytes are not sealed"};
  FileDescriptor fd(::fcntl(file.fd, F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) {
    return Error{Errc::kResourceExhausted, std::string("cannot share sealed memory: ") + std::strerror(errno)};
  }
  const auto from = static_cast<std::size_t>(buffer.view().data() - file.bytes.data());
  return SealedMemory::open(std::move(fd), file.bytes.size(), from, buffer.size());
}

Buffer another(const Buffer& buffer) {
  Result<Buffer> shared = share_sealed(buffer);
  return shared ? *std::move(shared) : Buffer::copy_of(buffer.view());
}

}  // namespace caisson
