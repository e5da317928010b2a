#pragma once

#include <cstddef>
#include <deque>

#include "bus/clock.hpp"

namespace caisson::cli {

/// When a process that died is started again.
///
/// The first death is answered at once; each further one, with no run of ten seconds in between,
/// doubles the wait from 10 ms up to 1 s. More than five deaths within ten seconds are a crash loop:
/// from then on one try every five seconds, until a run has lasted ten seconds.
class RestartPolicy {
 public:
  static constexpr Nanos kFirstDelay = std::chrono::milliseconds(10);
  static constexpr Nanos kLongestDelay = std::chrono::seconds(1);
  static constexpr Nanos kWindow = std::chrono::seconds(10);
  static constexpr std::size_t kDeathsInWindow = 5;
  static constexpr Nanos kSlowRetry = std::chrono::seconds(5);

  /// A run that began at `started` ended at `now`. Returns how long to wait before the next.
  Nanos died(Nanos started, Nanos now);
  [[nodiscard]] bool crash_looping() const { return crash_looping_; }
  /// Forgets everything: a person asked for a restart.
  void reset();

 private:
  std::size_t in_a_row_ = 0;
  bool crash_looping_ = false;
  std::deque<Nanos> recent_;
};

}  // namespace caisson::cli
