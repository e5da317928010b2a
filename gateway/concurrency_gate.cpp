#include "gateway/concurrency_gate.hpp"

#include <utility>

namespace caisson::gateway {

Task<Result<void>> ConcurrencyGate::Turn::take(Deadline deadline) {
  if (gate_.has_place() && gate_.line_.empty()) {
    inside_ = true;
    ++gate_.inside_;
    co_return ok();
  }
  if (gate_.waiting_ >= gate_.max_waiting_) {
    co_return Error{Errc::kResourceExhausted, "too many calls wait for the app"};
  }
  waiting_ = true;
  ++gate_.waiting_;
  gate_.line_.push_back(*this);
  while (!inside_) {
    const Wake wake = co_await called_.wait(gate_.loop_, deadline);
    if (wake == Wake::kDeadline && !inside_) {
      co_return Error{Errc::kResourceExhausted, "the app was busy with other calls until the deadline"};
    }
  }
  co_return ok();
}

/// Hands a place that becomes free to the first in line at once, so that nobody overtakes it.
void ConcurrencyGate::leave(Turn& turn) {
  turn.unlink();
  if (std::exchange(turn.waiting_, false)) --waiting_;
  if (std::exchange(turn.inside_, false)) --inside_;
  while (has_place() && !line_.empty()) {
    Turn& next = line_.pop_front();
    next.waiting_ = false;
    --waiting_;
    next.inside_ = true;
    ++inside_;
    next.called_.wake_all();
  }
}

}  // namespace caisson::gateway
