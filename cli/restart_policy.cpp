#include "cli/restart_policy.hpp"

#include <algorithm>

namespace caisson::cli {

Nanos RestartPolicy::died(Nanos started, Nanos now) {
  if (now - started >= kWindow) reset();
  ++in_a_row_;
  recent_.push_back(now);
  while (now - recent_.front() > kWindow) recent_.pop_front();
  if (recent_.size() > kDeathsInWindow) crash_looping_ = true;
  if (crash_looping_) return kSlowRetry;
  if (in_a_row_ == 1) return Nanos::zero();
  const std::size_t doublings = std::min<std::size_t>(in_a_row_ - 2, 16);
  return std::min<Nanos>(kFirstDelay * (1L << doublings), kLongestDelay);
}

void RestartPolicy::reset() {
  in_a_row_ = 0;
  crash_looping_ = false;
  recent_.clear();
}

}  // namespace caisson::cli
