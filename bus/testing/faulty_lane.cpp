#include "bus/testing/faulty_lane.hpp"

#include <utility>

namespace caisson::testing {

void FaultyLane::make_room() {
  room_ = kEndless;
  loop_.post([this, alive = alive_] {
    if (*alive && !down_ && std::exchange(refused_, false)) receiver_->on_writable();
  });
}

void FaultyLane::let_go() {
  holding_ = false;
  loop_.post([this, alive = alive_] {
    while (*alive && !down_ && !holding_ && !held_.empty()) {
      Frame frame = std::move(held_.front());
      held_.pop_front();
      receiver_->on_frame(std::move(frame));
    }
  });
}

void FaultyLane::break_down(Error reason) {
  loop_.post([this, alive = alive_, reason = std::move(reason)] {
    if (*alive) on_down(reason);
  });
}

void FaultyLane::start(Lane::Receiver& receiver) {
  receiver_ = &receiver;
  inner_->start(*this);
}

Result<void> FaultyLane::publish(const Envelope& envelope, Buffer& payload) {
  if (down_) return Error{Errc::kUnavailable, "the lane is down"};
  if (room_ == 0) {
    refused_ = true;
    return Error{Errc::kResourceExhausted, "the lane is full"};
  }
  if (room_ != kEndless) --room_;
  return inner_->publish(envelope, payload);
}

void FaultyLane::on_frame(Frame frame) {
  if (down_) return;
  if (holding_ || !held_.empty())
    held_.push_back(std::move(frame));
  else
    receiver_->on_frame(std::move(frame));
}

void FaultyLane::on_writable() {
  if (!down_ && room_ != 0) receiver_->on_writable();
}

void FaultyLane::on_down(Error reason) {
  if (!std::exchange(down_, true)) receiver_->on_down(std::move(reason));
}

}  // namespace caisson::testing
