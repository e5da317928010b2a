#include "bus/buffer.hpp"

namespace caisson {

namespace {

struct StringMemory final : Memory {
  explicit StringMemory(std::string body) : text(std::move(body)) {}
  void release() noexcept override { delete this; }
  std::string text;
};

}  // namespace

Buffer::Buffer(std::string text) {
  if (text.empty()) return;
  auto* const memory = new StringMemory(std::move(text));
  owner_ = MemoryRef(memory);
  bytes_ = memory->text;
}

}  // namespace caisson
