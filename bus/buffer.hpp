#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace caisson {

/// Bytes of a memory file that nobody can change any more; `fd` is -1 where there is none.
struct SealedFile {
  int fd = -1;
  std::string_view bytes;
};

/// Memory that somebody lent: a heap block, a ZeroMQ message, a slot of a shared arena. Released
/// exactly once, on the loop's thread.
class Memory {
 public:
  virtual void release() noexcept = 0;
  /// The file behind the bytes, so that a lane may pass on the file and copy nothing.
  [[nodiscard]] virtual SealedFile sealed() const noexcept { return {}; }
  /// Who lent it: how a lane knows its own loans again.
  [[nodiscard]] virtual const void* lender() const noexcept { return nullptr; }

 protected:
  ~Memory() = default;
};

/// Owner of a loan; move-only.
class MemoryRef {
 public:
  MemoryRef() = default;
  explicit MemoryRef(Memory* memory) : memory_(memory) {}
  MemoryRef(MemoryRef&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  MemoryRef& operator=(MemoryRef&& other) noexcept {
    if (this != &other) {
      reset();
      memory_ = std::exchange(other.memory_, nullptr);
    }
    return *this;
  }
  ~MemoryRef() { reset(); }

  void reset() noexcept {
    if (memory_ != nullptr) std::exchange(memory_, nullptr)->release();
  }
  /// Gives the loan up to somebody else who will release it.
  [[nodiscard]] Memory* detach() noexcept { return std::exchange(memory_, nullptr); }
  [[nodiscard]] Memory* get() const { return memory_; }
  [[nodiscard]] explicit operator bool() const { return memory_ != nullptr; }

 private:
  Memory* memory_ = nullptr;
};

/// Bytes with an owner: how a body is handed on without being copied. Move-only; the bytes stay
/// where they are until the Buffer dies.
class Buffer {
 public:
  Buffer() = default;
  /// Takes the string over. Not explicit: a body is most often a string.
  Buffer(std::string text);
  Buffer(MemoryRef owner, std::string_view bytes) : owner_(std::move(owner)), bytes_(bytes) {}

  static Buffer copy_of(std::string_view bytes) { return Buffer(std::string(bytes)); }

  Buffer(Buffer&& other) noexcept : owner_(std::move(other.owner_)), bytes_(std::exchange(other.bytes_, {})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    owner_ = std::move(other.owner_);
    bytes_ = std::exchange(other.bytes_, {});
    return *this;
  }

  [[nodiscard]] std::string_view view() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::string to_string() const { return std::string(bytes_); }

  /// A loan is written through this; only the side that was lent the memory may.
  [[nodiscard]] std::span<char> writable() { return {const_cast<char*>(bytes_.data()), bytes_.size()}; }
  /// Shows fewer of the bytes, from the front.
  void truncate(std::size_t size) { bytes_ = bytes_.substr(0, size); }

  /// False for bytes that only are there as long as somebody else keeps them.
  [[nodiscard]] bool owned() const { return static_cast<bool>(owner_); }
  [[nodiscard]] const Memory* memory() const { return owner_.get(); }
  /// The owner, for a lane that hands the memory to a library; the Buffer is empty afterwards.
  MemoryRef take_owner() {
    bytes_ = {};
    return std::move(owner_);
  }

 private:
  MemoryRef owner_;
  std::string_view bytes_;
};

}  // namespace caisson
