#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bus/lane.hpp"

namespace caisson::testing {

/// A lane without a peer: the test says what arrives, as any peer might have written it, and looks
/// at what was sent.
class ScriptedLane final : public Lane {
 public:
  struct Sent {
    wire::Kind kind;
    std::uint64_t id;
    std::uint16_t flags;
    Errc error;
    std::uint32_t credit;
  };

  /// Delivers one frame, if it passes verification as on any lane.
  void deliver(const Envelope& envelope, std::string payload = {}) {
    auto* const memory = new FrameMemory;
    MemoryRef owner(memory);
    const auto bytes = encode(builder_, envelope);
    memory->envelope.assign(bytes.begin(), bytes.end());
    memory->payload = std::move(payload);
    const auto verified = verify_envelope(memory->envelope);
    if (!verified || receiver_ == nullptr) return;
    receiver_->on_frame(Frame(std::move(owner), *verified, memory->payload));
  }
  void hello() {
    Envelope envelope;
    envelope.kind = wire::Kind::Hello;
    deliver(envelope);
  }
  void writable() { receiver_->on_writable(); }

  void start(Receiver& receiver) override { receiver_ = &receiver; }
  Result<Buffer> loan(std::size_t size) override { return Buffer(std::string(size, '\0')); }
  Result<void> publish(const Envelope& envelope, Buffer& payload) override {
    if (full) return Error{Errc::kResourceExhausted, "the lane is full"};
    [[maybe_unused]] const auto bytes = encode(builder_, envelope);
    sent.push_back({envelope.kind, envelope.id, envelope.flags, envelope.error, envelope.credit});
    payload = Buffer();
    return ok();
  }
  [[nodiscard]] const LaneCounters& counters() const override { return counters_; }

  bool full = false;
  std::vector<Sent> sent;

 private:
  struct FrameMemory final : Memory {
    void release() noexcept override { delete this; }
    std::vector<std::uint8_t> envelope;
    std::string payload;
  };

  Receiver* receiver_ = nullptr;
  flatbuffers::FlatBufferBuilder builder_;
  LaneCounters counters_;
};

}  // namespace caisson::testing
