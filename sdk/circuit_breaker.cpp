#include "sdk/circuit_breaker.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace caisson::sdk {

namespace {

/// The counts as the trip condition names them.
class CountsRecord final : public Record {
 public:
  explicit CountsRecord(const BreakerCounts& counts) : counts_(counts) {}
  [[nodiscard]] std::optional<Value> find(std::string_view name) const override {
    if (name == "requests") return number(counts_.requests);
    if (name == "totalSuccesses") return number(counts_.total_successes);
    if (name == "totalFailures") return number(counts_.total_failures);
    if (name == "consecutiveSuccesses") return number(counts_.consecutive_successes);
    if (name == "consecutiveFailures") return number(counts_.consecutive_failures);
    return std::nullopt;
  }
  [[nodiscard]] std::size_t size() const override { return 5; }

 private:
  static Value number(std::uint64_t count) { return Value(static_cast<std::int64_t>(count)); }
  const BreakerCounts& counts_;
};

Nanos later(Nanos now, Nanos span) { return span >= Nanos::max() - now ? Nanos::max() : now + span; }

}  // namespace

std::string_view name_of(BreakerState state) {
  constexpr std::string_view kNames[] = {"closed", "open", "half-open"};
  return kNames[static_cast<std::uint8_t>(state)];
}

Result<BreakerPolicy> compile(const config::CircuitBreakerPolicy& policy) {
  const config::CircuitBreakerPolicy defaults;
  auto trip = Expression::parse(policy.trip.empty() ? defaults.trip : policy.trip);
  if (!trip) return Error{Errc::kInvalidArgument, "trip: " + trip.error().message};
  // Tried once, so that a wrong name is said now and not when the target fails.
  constexpr BreakerCounts kTrial{2, 1, 1, 1, 1};
  const auto tried = trip->test(CountsRecord(kTrial));
  if (!tried) return Error{Errc::kInvalidArgument, "trip: " + tried.error().message};
  return BreakerPolicy{std::max(policy.max_requests, 1u), std::max(policy.interval, Nanos::zero()),
                       policy.timeout > Nanos::zero() ? policy.timeout : defaults.timeout, *std::move(trip)};
}

CircuitBreaker::CircuitBreaker(const Clock& clock, BreakerPolicy policy) : clock_(clock), policy_(std::move(policy)) {
  enter(BreakerState::kClosed);
}

Result<CircuitBreaker::Pass> CircuitBreaker::admit() {
  turn();
  if (state_ == BreakerState::kOpen) return Error{Errc::kUnavailable, "circuit breaker is open"};
  if (state_ == BreakerState::kHalfOpen && counts_.requests >= policy_.max_requests) {
    return Error{Errc::kUnavailable, "too many requests: the circuit breaker is half-open"};
  }
  ++counts_.requests;
  return Pass(shared_from_this(), generation_);
}

BreakerState CircuitBreaker::state() const {
  return state_ == BreakerState::kOpen && clock_.now() >= until_ ? BreakerState::kHalfOpen : state_;
}

void CircuitBreaker::report(std::uint64_t generation, bool success) {
  turn();
  if (generation != generation_) return;
  if (success) {
    ++counts_.total_successes;
    ++counts_.consecutive_successes;
    counts_.consecutive_failures = 0;
    const bool trial_passed = counts_.consecutive_successes >= policy_.max_requests;
    if (state_ == BreakerState::kHalfOpen && trial_passed) enter(BreakerState::kClosed);
    return;
  }
  ++counts_.total_failures;
  ++counts_.consecutive_failures;
  counts_.consecutive_successes = 0;
  if (state_ == BreakerState::kHalfOpen || should_trip()) enter(BreakerState::kOpen);
}

void CircuitBreaker::withdraw(std::uint64_t generation) {
  turn();
  if (generation == generation_ && counts_.requests > 0) --counts_.requests;
}

void CircuitBreaker::turn() {
  if (clock_.now() < until_) return;
  if (state_ == BreakerState::kOpen) {
    enter(BreakerState::kHalfOpen);
  } else if (state_ == BreakerState::kClosed) {
    enter(BreakerState::kClosed);  // the interval is over
  }
}

void CircuitBreaker::enter(BreakerState state) {
  state_ = state;
  ++generation_;
  counts_ = {};
  until_ = Nanos::max();
  if (state == BreakerState::kOpen) until_ = later(clock_.now(), policy_.timeout);
  if (state == BreakerState::kClosed && policy_.interval > Nanos::zero()) {
    until_ = later(clock_.now(), policy_.interval);
  }
}

/// A condition that cannot be evaluated at the moment (a division by zero) is not met.
bool CircuitBreaker::should_trip() const {
  const auto met = policy_.trip.test(CountsRecord(counts_));
  return met && *met;
}

}  // namespace caisson::sdk
