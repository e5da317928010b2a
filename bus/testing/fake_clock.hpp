#pragma once

#include "bus/clock.hpp"

namespace caisson::testing {

/// Time that stands still until the test advances it.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] Nanos now() const override { return now_; }
  void advance(Nanos span) { now_ += span; }

 private:
  Nanos now_ = std::chrono::hours(1);
};

}  // namespace caisson::testing
