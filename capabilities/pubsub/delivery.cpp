#include "capabilities/pubsub/delivery.hpp"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "bus/task_scope.hpp"

namespace caisson::pubsub {

namespace {

constexpr Nanos kDeadLetterTimeout = std::chrono::seconds(30);
constexpr std::uint16_t kLastRpcCode = 16;

bool may_be_tried_again(Attempt::Kind kind) { return kind == Attempt::Kind::kFailed || kind == Attempt::Kind::kBroken; }

/// What an attempt means to retries and breakers. An app that is away is no failure of the app's
/// answers, and asking again is for the broker to do.
sdk::Outcome outcome_of(const Result<Attempt>& attempt) {
  sdk::Outcome outcome;
  if (!attempt) return sdk::outcome_of(attempt.error());
  outcome.failed = may_be_tried_again(attempt->kind);
  outcome.permanent = !outcome.failed;
  if (outcome.failed) outcome.error = Errc::kUnknown;
  const bool has_code = attempt->status >= 300 || (attempt->status > 0 && attempt->status <= kLastRpcCode);
  if (outcome.failed && has_code) {
    outcome.code = attempt->status;
    outcome.error = Errc::kOk;
  }
  return outcome;
}

}  // namespace

Deliverer::Deliverer(EventLoop& loop, sdk::Resiliency& resiliency, WallClock wall_clock)
    : loop_(loop), resiliency_(resiliency), wall_clock_(std::move(wall_clock)) {}

sdk::Policy Deliverer::policy_for(const DeliveryTarget& target) {
  const PubsubComponent& component = *target.component;
  return resiliency_.component_inbound(target.app, component.name, component.type);
}

Deadline Deliverer::until(const DeliveryTarget& target, Deadline deadline) const {
  const Nanos limit = target.component->processing_timeout;
  return limit > Nanos::zero() ? deadline.earlier(loop_.deadline_in(limit)) : deadline;
}

// --- one ---

Task<Verdict> Deliverer::deliver(std::shared_ptr<const DeliveryTarget> target, Delivery delivery) {
  auto made = make_event(*target, delivery.message, wall_clock_());
  if (auto* const undeliverable = std::get_if<Undeliverable>(&made)) {
    auto refusing = refuse(*target, delivery, std::move(*undeliverable));
    co_return co_await std::move(refusing);
  }
  const Event& event = std::get<Event>(made);
  auto delivering = deliver_with_policy(*target, event);
  Attempt outcome = co_await std::move(delivering);
  auto settling = settle(*target, delivery, std::move(outcome));
  co_return co_await std::move(settling);
}

Task<Attempt> Deliverer::deliver_with_policy(const DeliveryTarget& target, const Event& event) {
  const sdk::Policy policy = policy_for(target);
  Task<Result<Attempt>> delivering;
  if (policy.is_none()) {
    delivering = attempt(target, event, Deadline::never());
  } else {
    std::function<Task<Result<Attempt>>(Deadline)> one = [this, &target, &event](Deadline deadline) {
      return attempt(target, event, deadline);
    };
    std::function<sdk::Outcome(const Result<Attempt>&)> classify = outcome_of;
    delivering = policy.run<Attempt>(std::move(one), std::move(classify), Deadline::never());
  }
  auto outcome = co_await std::move(delivering);
  if (outcome) co_return *std::move(outcome);
  co_return Attempt{Attempt::Kind::kHeld, 0, std::move(outcome).error().message};
}

Task<Result<Attempt>> Deliverer::attempt(const DeliveryTarget& target, const Event& event, Deadline deadline) {
  target.component->counters.delivered.add();
  auto taking = target.receiver->take(event, until(target, deadline));
  Attempt attempt = co_await std::move(taking);
  co_return Result<Attempt>(std::move(attempt));
}

// --- several ---

/// Events of one path and how each of them fares.
struct Deliverer::Batch {
  std::vector<const Event*> events;
  std::vector<std::size_t> places;  // among all deliveries
  std::vector<std::optional<Attempt>> outcomes;
};

Task<std::vector<Verdict>> Deliverer::deliver_all(std::shared_ptr<const DeliveryTarget> target,
                                                  std::vector<Delivery> deliveries) {
  std::vector<std::variant<Event, Undeliverable>> made;
  made.reserve(deliveries.size());
  std::map<std::string_view, Batch> batches;
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    const auto& one = made.emplace_back(make_event(*target, deliveries[i].message, wall_clock_()));
    const auto* const event = std::get_if<Event>(&one);
    if (event == nullptr) continue;
    Batch& batch = batches[event->path];
    batch.events.push_back(event);
    batch.places.push_back(i);
    batch.outcomes.emplace_back();
  }
  for (auto& [path, batch] : batches) {
    auto delivering = deliver_with_policy(*target, batch);
    co_await std::move(delivering);
  }

  // Dead letters of one batch are published together.
  std::vector<Verdict> verdicts(deliveries.size(), Verdict::kRetry);
  struct Keep {
    static Task<void> verdict(Task<Verdict> task, Verdict& to) { to = co_await std::move(task); }
  };
  TaskScope settling(loop_);
  for (std::size_t i = 0; i < deliveries.size(); ++i) {
    auto* const undeliverable = std::get_if<Undeliverable>(&made[i]);
    if (undeliverable == nullptr) continue;
    settling.spawn(Keep::verdict(refuse(*target, deliveries[i], std::move(*undeliverable)), verdicts[i]));
  }
  for (auto& [path, batch] : batches) {
    for (std::size_t i = 0; i < batch.places.size(); ++i) {
      const std::size_t place = batch.places[i];
      Attempt outcome = *std::move(batch.outcomes[i]);
      settling.spawn(Keep::verdict(settle(*target, deliveries[place], std::move(outcome)), verdicts[place]));
    }
  }
  auto joining = settling.join(Deadline::never());
  co_await std::move(joining);
  co_return verdicts;
}

Task<void> Deliverer::deliver_with_policy(const DeliveryTarget& target, Batch& batch) {
  const sdk::Policy policy = policy_for(target);
  std::function<Task<Result<Attempt>>(Deadline)> several = [this, &target, &batch](Deadline deadline) {
    return attempt(target, batch, deadline);
  };
  std::function<sdk::Outcome(const Result<Attempt>&)> classify = outcome_of;
  const auto outcome = co_await policy.run<Attempt>(std::move(several), std::move(classify), Deadline::never());
  for (std::optional<Attempt>& one : batch.outcomes) {
    const bool open = !one || may_be_tried_again(one->kind);
    if (!outcome && open) one = Attempt{Attempt::Kind::kHeld, 0, outcome.error().message};
  }
}

/// Hands over what has not come to an end yet; what is worst of it speaks for the whole.
Task<Result<Attempt>> Deliverer::attempt(const DeliveryTarget& target, Batch& batch, Deadline deadline) {
  std::vector<const Event*> events;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    if (batch.outcomes[i] && !may_be_tried_again(batch.outcomes[i]->kind)) continue;
    events.push_back(batch.events[i]);
    places.push_back(i);
  }
  target.component->counters.delivered.add(events.size());
  auto taking = target.receiver->take_all(std::move(events), until(target, deadline));
  std::vector<Attempt> attempts = co_await std::move(taking);
  Attempt whole;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!may_be_tried_again(whole.kind)) whole = attempts[i];
    batch.outcomes[places[i]] = std::move(attempts[i]);
  }
  co_return Result<Attempt>(std::move(whole));
}

// --- what becomes of it ---

Task<Verdict> Deliverer::refuse(const DeliveryTarget& target, const Delivery& delivery, Undeliverable why) {
  if (why.expired) target.component->counters.dropped.add();
  return dead_letter(target, delivery, why.otherwise, std::move(why.reason));
}

Task<Verdict> Deliverer::settle(const DeliveryTarget& target, const Delivery& delivery, Attempt outcome) {
  PubsubCounters& counters = target.component->counters;
  if (outcome.kind == Attempt::Kind::kBroken) {
    if (delivery.attempt < kBrokenLimit) {
      // Counted, so that a message that kills the app each time comes to an end.
      counters.retried.add();
      co_return Verdict::kRetrySoon;
    }
    outcome.kind = Attempt::Kind::kFailed;
  }
  Verdict otherwise = Verdict::kRetry;
  switch (outcome.kind) {
    case Attempt::Kind::kSuccess:
      counters.acknowledged.add();
      co_return Verdict::kAcknowledge;
    case Attempt::Kind::kIgnored:
      counters.dropped.add();
      log_limit_.log(LogLevel::kWarning,
                     fmt::format("app '{}', component '{}', topic '{}': a message is not taken and dropped: {}",
                                 target.app, target.subscription.pubsub, target.subscription.topic, outcome.reason));
      co_return Verdict::kAcknowledge;
    case Attempt::Kind::kAway:
      co_return Verdict::kGiveBack;
    case Attempt::Kind::kHeld:
      counters.retried.add();
      co_return Verdict::kRetry;
    case Attempt::Kind::kDrop:
      counters.dropped.add();
      otherwise = Verdict::kAcknowledge;
      break;
    default:
      break;
  }
  auto burying = dead_letter(target, delivery, otherwise, std::move(outcome.reason));
  co_return co_await std::move(burying);
}

Task<Verdict> Deliverer::dead_letter(const DeliveryTarget& target, const Delivery& delivery, Verdict otherwise,
                                     std::string reason) {
  PubsubComponent& component = *target.component;
  const config::Subscription& subscription = target.subscription;
  log_limit_.log(LogLevel::kWarning,
                 fmt::format("app '{}', component '{}', topic '{}': a message is not taken (attempt {}): {}",
                             target.app, subscription.pubsub, subscription.topic, delivery.attempt, reason));
  if (subscription.dead_letter_topic.empty()) {
    if (otherwise != Verdict::kAcknowledge) component.counters.retried.add();
    co_return otherwise;
  }
  std::string topic = component.rules.broker_topic(subscription.dead_letter_topic);
  const Deadline deadline = loop_.deadline_in(kDeadLetterTimeout);
  auto publishing = component.broker->publish(std::move(topic), delivery.message, deadline);
  const auto published = co_await std::move(publishing);
  if (published) {
    component.counters.dead_lettered.add();
    co_return Verdict::kAcknowledge;
  }
  log_limit_.log(LogLevel::kError, fmt::format("app '{}': dead-letter topic '{}' does not take a message: {}",
                                               target.app, subscription.dead_letter_topic, published.error().message));
  component.counters.retried.add();
  co_return Verdict::kRetry;
}

}  // namespace caisson::pubsub
