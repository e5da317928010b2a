#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace caisson {

/// Nanoseconds of CLOCK_MONOTONIC: the same in every process of one host.
using Nanos = std::chrono::nanoseconds;

/// Where time comes from; a test advances its own (bus/testing/fake_clock.hpp).
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Nanos now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Nanos now() const override {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::chrono::seconds(t.tv_sec) + Nanos(t.tv_nsec);
  }
};

}  // namespace caisson
