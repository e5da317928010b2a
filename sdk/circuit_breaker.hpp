#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "config-cache/documents.hpp"
#include "sdk/expression.hpp"

namespace caisson::sdk {

/// Counts since the last change of state, or since the interval began.
struct BreakerCounts {
  std::uint64_t requests = 0;
  std::uint64_t total_successes = 0;
  std::uint64_t total_failures = 0;
  std::uint64_t consecutive_successes = 0;
  std::uint64_t consecutive_failures = 0;
};

enum class BreakerState : std::uint8_t { kClosed, kOpen, kHalfOpen };
std::string_view name_of(BreakerState state);

/// A circuitBreakers policy, ready to be used.
struct BreakerPolicy {
  std::uint32_t max_requests;
  Nanos interval;
  Nanos timeout;
  Expression trip;
  bool operator==(const BreakerPolicy& other) const {
    return max_requests == other.max_requests && interval == other.interval && timeout == other.timeout &&
           trip.text() == other.trip.text();
  }
};

/// Fills in the defaults and checks the trip condition; kInvalidArgument names the field.
Result<BreakerPolicy> compile(const config::CircuitBreakerPolicy& policy);

/// Keeps calls from a target that fails: closed until the trip condition is met, open (every call
/// refused) for the timeout, then half-open (max_requests are let through as a trial): all of them
/// succeed and it is closed, one fails and it is open again. One thread.
class CircuitBreaker : public std::enable_shared_from_this<CircuitBreaker> {
 public:
  /// Leave for one call. Dropped without a report (the call was cancelled), it was never given, so
  /// that a trial nobody waits for does not hold up the next.
  class Pass {
   public:
    Pass(std::shared_ptr<CircuitBreaker> breaker, std::uint64_t generation)
        : breaker_(std::move(breaker)), generation_(generation) {}
    Pass(Pass&&) = default;
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (breaker_ != nullptr) breaker_->withdraw(generation_);
    }
    void report(bool success) {
      if (const auto breaker = std::move(breaker_)) breaker->report(generation_, success);
    }

   private:
    std::shared_ptr<CircuitBreaker> breaker_;
    std::uint64_t generation_;
  };

  CircuitBreaker(const Clock& clock, BreakerPolicy policy);

  /// kUnavailable: "circuit breaker is open" or "too many requests".
  Result<Pass> admit();

  [[nodiscard]] BreakerState state() const;
  [[nodiscard]] const BreakerCounts& counts() const { return counts_; }
  [[nodiscard]] const BreakerPolicy& policy() const { return policy_; }

 private:
  void report(std::uint64_t generation, bool success);
  void withdraw(std::uint64_t generation);
  /// Lets time change the state.
  void turn();
  void enter(BreakerState state);
  [[nodiscard]] bool should_trip() const;

  const Clock& clock_;
  BreakerPolicy policy_;
  BreakerState state_ = BreakerState::kClosed;
  /// Grows with every clearing of the counts; results of calls from before do not count.
  std::uint64_t generation_ = 0;
  BreakerCounts counts_;
  Nanos until_ = Nanos::max();  // open: when it becomes half-open; closed: when the counts are cleared
};

}  // namespace caisson::sdk
