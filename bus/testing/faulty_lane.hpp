#pragma once

#include <deque>
#include <memory>

#include "bus/event_loop.hpp"
#include "bus/lane.hpp"

namespace caisson::testing {

/// A lane with faults to order, around a real one: full for a while, late, or down. The test keeps
/// a pointer to it while a link owns it.
class FaultyLane final : public Lane, private Lane::Receiver {
 public:
  FaultyLane(EventLoop& loop, std::unique_ptr<Lane> inner) : loop_(loop), inner_(std::move(inner)) {}
  ~FaultyLane() override { *alive_ = false; }

  /// Refuses every frame from now on (after `more` further ones) for lack of room.
  void fill(int more = 0) { room_ = more; }
  /// Takes frames again, and says so if one was refused.
  void make_room();
  /// Keeps what arrives, then delivers it in a later turn.
  void hold() { holding_ = true; }
  void let_go();
  void break_down(Error reason);
  [[nodiscard]] std::size_t held() const { return held_.size(); }

  void start(Lane::Receiver& receiver) override;
  Result<Buffer> loan(std::size_t size) override { return inner_->loan(size); }
  Result<void> publish(const Envelope& envelope, Buffer& payload) override;
  [[nodiscard]] const LaneCounters& counters() const override { return inner_->counters(); }

 private:
  static constexpr int kEndless = -1;

  void on_frame(Frame frame) override;
  void on_writable() override;
  void on_down(Error reason) override;

  EventLoop& loop_;
  Lane::Receiver* receiver_ = nullptr;
  int room_ = kEndless;
  bool refused_ = false;
  bool holding_ = false;
  bool down_ = false;
  std::deque<Frame> held_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Lane> inner_;
};

}  // namespace caisson::testing
