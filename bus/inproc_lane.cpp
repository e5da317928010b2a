#include "bus/inproc_lane.hpp"

#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bus/intrusive_list.hpp"
#include "bus/recycled.hpp"

namespace caisson {

namespace {

/// A message in its queue, and then as the receiver holds it.
class Message final : public Memory, public ListNode, public Recycled {
 public:
  Message(std::span<const std::uint8_t> envelope, Buffer payload)
      : size_(envelope.size()), payload_(std::move(payload)) {
    if (size_ > sizeof few_) many_.resize(size_);
    std::memcpy(many_.empty() ? few_ : many_.data(), envelope.data(), size_);
  }
  void release() noexcept override { delete this; }

  [[nodiscard]] std::span<const std::uint8_t> envelope() const { return {many_.empty() ? few_ : many_.data(), size_}; }
  [[nodiscard]] std::string_view payload() const { return payload_.view(); }

 private:
  std::size_t size_;
  std::vector<std::uint8_t> many_;  // in place of few_ when they do not do
  Buffer payload_;
  alignas(kEnvelopeAlignment) std::uint8_t few_[512];
};

/// Messages that wait to be received; owns them.
class Queue {
 public:
  Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() { clear(); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void push(Message* message) {
    messages_.push_back(*message);
    ++size_;
  }
  Message& pop() {
    --size_;
    return messages_.pop_front();
  }
  void clear() {
    while (!empty()) pop().release();
  }

 private:
  IntrusiveList<Message> messages_;
  std::size_t size_ = 0;
};

class InprocLane;

/// What both ends share: a queue each way, and who is still there.
struct Pipe {
  explicit Pipe(EventLoop& event_loop, std::size_t limit) : loop(event_loop), capacity(limit) {}
  EventLoop& loop;
  std::size_t capacity;
  InprocLane* ends[2] = {nullptr, nullptr};
  Queue towards[2];
  bool refused[2] = {false, false};  // the end with this index was told "full"
};

class InprocLane final : public Lane {
 public:
  InprocLane(std::shared_ptr<Pipe> pipe, int end) : pipe_(std::move(pipe)), end_(end) { pipe_->ends[end_] = this; }
  ~InprocLane() override {
    pipe_->ends[end_] = nullptr;
    pipe_->towards[end_].clear();
    if (InprocLane* peer = pipe_->ends[1 - end_]) peer->schedule();
  }

  void start(Receiver& receiver) override {
    receiver_ = &receiver;
    schedule();
  }

  Result<Buffer> loan(std::size_t size) override {
    if (size > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
    return Buffer(std::string(size, '\0'));
  }

  Result<void> publish(const Envelope& envelope, Buffer& payload) override {
    InprocLane* const peer = pipe_->ends[1 - end_];
    if (peer == nullptr || down_) return Error{Errc::kUnavailable, "the peer is gone"};
    if (payload.size() > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
    auto& queue = pipe_->towards[1 - end_];
    if (queue.size() >= pipe_->capacity) {
      ++counters_.full;
      pipe_->refused[end_] = true;
      return Error{Errc::kResourceExhausted, "the lane is full"};
    }
    const auto bytes = encode(builder_, envelope);
    if (bytes.size() > kMaxEnvelope) return Error{Errc::kInvalidArgument, "envelope is over the limit"};
    ++counters_.frames_out;
    counters_.bytes_out += bytes.size() + payload.size();
    queue.push(new Message(bytes, std::move(payload)));
    peer->schedule();
    return ok();
  }

  [[nodiscard]] const LaneCounters& counters() const override { return counters_; }

 private:
  /// Delivery happens in a later turn, as between processes.
  void schedule() {
    if (scheduled_ || receiver_ == nullptr) return;
    scheduled_ = true;
    pipe_->loop.post([pipe = pipe_, end = end_] {
      if (InprocLane* lane = pipe->ends[end]) lane->deliver();
    });
  }

  void deliver() {
    scheduled_ = false;
    const std::shared_ptr<Pipe> pipe = pipe_;  // outlives a receiver that drops this lane
    auto& queue = pipe->towards[end_];
    const int end = end_;
    // Only what waits now, so that two ends that answer each other leave the loop its turns.
    for (std::size_t left = queue.size(); left > 0 && pipe->ends[end] == this && !down_; --left) {
      Message& message = queue.pop();
      if (pipe->refused[1 - end]) tell_writable();
      hand_over(message);
    }
    if (pipe->ends[end] != this) return;
    if (down_) return queue.clear();
    if (pipe->ends[1 - end] == nullptr && queue.empty()) {
      down_ = true;
      receiver_->on_down({Errc::kUnavailable, "the peer is gone"});
    } else if (!queue.empty()) {
      schedule();
    }
  }

  void tell_writable() {
    pipe_->loop.post([pipe = pipe_, other = 1 - end_] {
      if (!std::exchange(pipe->refused[other], false)) return;
      InprocLane* const lane = pipe->ends[other];
      if (lane != nullptr && lane->receiver_ != nullptr) lane->receiver_->on_writable();
    });
  }

  void hand_over(Message& message) {
    MemoryRef owner(&message);
    const auto envelope = verify_envelope(message.envelope());
    if (!envelope) {
      ++counters_.refused;
      if (!std::exchange(down_, true)) receiver_->on_down(envelope.error());
      return;
    }
    ++counters_.frames_in;
    counters_.bytes_in += message.envelope().size() + message.payload().size();
    receiver_->on_frame(Frame(std::move(owner), *envelope, message.payload()));
  }

  std::shared_ptr<Pipe> pipe_;
  int end_;
  Receiver* receiver_ = nullptr;
  bool scheduled_ = false;
  bool down_ = false;
  flatbuffers::FlatBufferBuilder builder_{512};
  LaneCounters counters_;
};

}  // namespace

std::pair<std::unique_ptr<Lane>, std::unique_ptr<Lane>> make_inproc_lanes(EventLoop& loop, std::size_t capacity) {
  auto pipe = std::make_shared<Pipe>(loop, capacity);
  return {std::make_unique<InprocLane>(pipe, 0), std::make_unique<InprocLane>(pipe, 1)};
}

}  // namespace caisson
