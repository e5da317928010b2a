#pragma once

#include <algorithm>
#include <compare>

#include "bus/clock.hpp"

namespace caisson {

/// A moment on CLOCK_MONOTONIC after which nobody waits for the answer any more. Absolute, so it
/// is handed down a chain of calls unchanged.
class Deadline {
 public:
  static constexpr Deadline never() { return Deadline(Nanos::max()); }
  static constexpr Deadline at(Nanos moment) { return Deadline(moment); }
  static Deadline after(const Clock& clock, Nanos span) {
    const Nanos now = clock.now();
    return span >= Nanos::max() - now ? never() : Deadline(now + span);
  }

  [[nodiscard]] constexpr bool is_never() const { return moment_ == Nanos::max(); }
  [[nodiscard]] constexpr Nanos moment() const { return moment_; }
  [[nodiscard]] bool passed(Nanos now) const { return now >= moment_; }
  /// Time left, zero when it has passed.
  [[nodiscard]] Nanos left(Nanos now) const {
    if (is_never()) return Nanos::max();
    return std::max(moment_ - now, Nanos::zero());
  }
  [[nodiscard]] Deadline earlier(Deadline other) const { return std::min(*this, other); }

  constexpr auto operator<=>(const Deadline&) const = default;

 private:
  explicit constexpr Deadline(Nanos moment) : moment_(moment) {}
  Nanos moment_;
};

}  // namespace caisson
