#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "config-cache/documents.hpp"
#include "sdk/circuit_breaker.hpp"
#include "sdk/retry.hpp"

namespace caisson::sdk {

/// What a component's operation means to policies: every error is a failure; those that would only
/// be repeated (a stale etag, a wrong argument, a cancelled request) are permanent.
Outcome outcome_of(const Error& error);
template <class T>
Outcome component_outcome(const Result<T>& result) {
  return result ? Outcome{} : outcome_of(result.error());
}

/// The timeout, retries and breaker of one target. Cheap to copy; by default there is none and an
/// attempt simply runs. One thread; the loop outlives it.
class Policy {
 public:
  Policy() = default;

  /// Runs `attempt` until one succeeds, retries are exhausted, or `overall` does not allow another;
  /// gives the last attempt's result, or the breaker's refusal (kUnavailable).
  ///
  /// The breaker wraps each attempt, the retries wrap the breaker. An attempt gets its own deadline
  /// and must end by it, as every call does. The policy outlives the task.
  template <class T>
  Task<Result<T>> run(std::function<Task<Result<T>>(Deadline)> attempt,
                      std::function<Outcome(const Result<T>&)> classify, Deadline overall) const;

  /// For components.
  template <class T>
  Task<Result<T>> run(std::function<Task<Result<T>>(Deadline)> attempt, Deadline overall) const {
    return run<T>(std::move(attempt), component_outcome<T>, overall);
  }

  /// True when there is nothing but the one attempt, whose task may then be awaited directly.
  [[nodiscard]] bool is_none() const { return loop_ == nullptr; }
  /// True when an attempt may be followed by another, so that its input must be kept.
  [[nodiscard]] bool retries() const { return retry_ != nullptr && retry_->max_retries != 0; }
  /// True for the built-in retries of targets without a policy.
  [[nodiscard]] bool built_in() const { return retry_ != nullptr && retry_->only_unreachable; }
  [[nodiscard]] std::optional<Nanos> timeout() const { return timeout_; }
  [[nodiscard]] const CircuitBreaker* breaker() const { return breaker_.get(); }

 private:
  friend class Resiliency;
  EventLoop* loop_ = nullptr;
  std::function<double()> random_;
  std::optional<Nanos> timeout_;
  std::shared_ptr<const RetryRule> retry_;
  std::shared_ptr<CircuitBreaker> breaker_;
};

/// A breaker and what it guards, for status and metrics.
struct BreakerStatus {
  std::string app;     // whose calls
  std::string target;  // component name, or TARGETAPP:METHOD
  BreakerState state = BreakerState::kClosed;
  BreakerCounts counts;
};

/// The Resiliency documents in force. Policies and breakers are each app's own, as if it had a
/// runtime to itself: what one app's calls do to a breaker does not show in another's.
///
/// A new configuration keeps the state of breakers whose policy has stayed the same.
class Resiliency {
 public:
  explicit Resiliency(EventLoop& loop);
  ~Resiliency();

  /// Takes the documents over; what is wrong in them is logged with file and line and left out.
  void configure(const config::Generation& generation);

  /// Invocations of `target`'s `method` by `caller`. Without a policy for it: the built-in retries
  /// of a target that cannot be reached.
  Policy for_app(std::string_view caller, std::string_view target, std::string_view method);
  /// Operations on a component on behalf of `app`.
  Policy component_outbound(std::string_view app, std::string_view name, std::string_view type);
  /// Deliveries of a component to `app`.
  Policy component_inbound(std::string_view app, std::string_view name, std::string_view type);

  [[nodiscard]] std::vector<BreakerStatus> breakers() const;

 private:
  struct Document;
  struct View;
  /// Breakers of one policy and target, the least recently used dropped beyond `capacity`.
  struct Cache {
    struct Entry {
      std::string name;
      std::shared_ptr<CircuitBreaker> breaker;
    };
    std::list<Entry> entries;  // the most recently used first
    std::unordered_map<std::string, std::list<Entry>::iterator> by_name;
  };
  struct CacheKey {
    std::string app;
    std::string target;
    std::string policy;
    auto operator<=>(const CacheKey&) const = default;
  };

  const View& view_of(std::string_view app);
  Policy component(std::string_view app, std::string_view name, std::string_view type, bool inbound);
  Policy assemble(const View& view, const config::PolicyNames& names);
  std::shared_ptr<CircuitBreaker> breaker_of(const View& view, CacheKey key, const std::string& name,
                                             std::size_t capacity);

  EventLoop& loop_;
  std::minstd_rand random_;
  std::vector<std::shared_ptr<const Document>> documents_;
  std::map<std::string, std::unique_ptr<View>, std::less<>> views_;
  std::map<CacheKey, Cache> breakers_;
};

template <class T>
Task<Result<T>> Policy::run(std::function<Task<Result<T>>(Deadline)> attempt,
                            std::function<Outcome(const Result<T>&)> classify, Deadline overall) const {
  if (loop_ == nullptr) co_return co_await attempt(overall);
  const Clock& clock = loop_->clock();
  const Nanos began = clock.now();
  std::optional<Backoff> backoff;
  if (retry_ != nullptr) backoff.emplace(*retry_, random_);

  while (true) {
    std::optional<CircuitBreaker::Pass> pass;
    if (breaker_ != nullptr) {
      auto admitted = breaker_->admit();
      if (!admitted) co_return std::move(admitted).error();
      pass.emplace(*std::move(admitted));
    }
    const Deadline until = timeout_ ? overall.earlier(Deadline::after(clock, *timeout_)) : overall;
    Result<T> result = co_await attempt(until);
    const Outcome outcome = classify(result);
    if (pass) pass->report(!outcome.failed);

    if (!backoff || !retry_->applies_to(outcome)) co_return result;
    const std::optional<Nanos> wait = backoff->next(clock.now() - began);
    if (!wait) co_return result;
    const Deadline again = Deadline::after(clock, *wait);
    if (again >= overall) co_return result;
    co_await loop_->sleep_until(again);
  }
}

}  // namespace caisson::sdk
