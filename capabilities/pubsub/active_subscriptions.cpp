#include "capabilities/pubsub/active_subscriptions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "capabilities/pubsub/collector.hpp"
#include "capabilities/pubsub/grpc_app.hpp"
#include "capabilities/pubsub/http_app.hpp"

namespace caisson::pubsub {

namespace {

/// Handlers that run when a subscription ends may go on for this long.
constexpr Nanos kRetirePatience = std::chrono::seconds(9);
constexpr Nanos kSubscribeTimeout = std::chrono::seconds(10);
constexpr Nanos kFirstRetry = std::chrono::milliseconds(250);
constexpr Nanos kLongestRetry = std::chrono::seconds(15);

}  // namespace

bool speaks_grpc(const std::string& protocol) { return protocol == "grpc" || protocol == "grpcs"; }

/// One subscription that runs, begins or ends.
struct ActiveSubscriptions::Active {
  Wanted wanted;
  std::shared_ptr<const DeliveryTarget> target;
  TaskScope::Id beginning = 0;
  std::unique_ptr<Collector> collector;        // null: message by message
  std::unique_ptr<Subscription> subscription;  // after the target, which keeps its broker, and the collector
};

ActiveSubscriptions::ActiveSubscriptions(sdk::Context& context, Deliverer& deliverer)
    : context_(context), deliverer_(deliverer), scope_(context.loop()) {}

ActiveSubscriptions::~ActiveSubscriptions() = default;

void ActiveSubscriptions::set(std::map<Key, Wanted> wanted) {
  for (auto active = active_.begin(); active != active_.end();) {
    const auto still = wanted.find(active->first);
    const Wanted& is = active->second->wanted;
    const bool same = still != wanted.end() && still->second.incarnation == is.incarnation &&
                      still->second.protocol == is.protocol && still->second.component == is.component &&
                      same_subscription(still->second.subscription.document, is.subscription.document);
    if (same) {
      ++active;
      continue;
    }
    retire(active->second);
    active = active_.erase(active);
  }
  for (auto& [key, want] : wanted) {
    if (active_.contains(key)) continue;
    auto active = std::make_shared<Active>();
    active->wanted = std::move(want);
    const AppSubscription& subscription = active->wanted.subscription;
    active->target = std::make_shared<DeliveryTarget>(key.app, subscription.document, subscription.router,
                                                      active->wanted.component, receiver_for(key.app, active->wanted));
    active_.emplace(key, active);
    active->beginning = scope_.spawn(begin(active));
  }
}

std::shared_ptr<Receiver> ActiveSubscriptions::receiver_for(const std::string& app, const Wanted& wanted) const {
  if (wanted.stream != nullptr) return wanted.stream;
  const config::Subscription& document = wanted.subscription.document;
  if (speaks_grpc(wanted.protocol)) return std::make_shared<GrpcApp>(context_, app, document);
  return std::make_shared<HttpApp>(context_, app, document);
}

Handler ActiveSubscriptions::handler_for(Active& active) {
  const auto target = active.target;
  if (!target->subscription.bulk) {
    return [this, target](Delivery delivery) { return deliverer_.deliver(target, std::move(delivery)); };
  }
  if (active.collector == nullptr) {
    Collector::HandOver hand_over = [this, target](std::vector<Delivery> deliveries) {
      return deliverer_.deliver_all(target, std::move(deliveries));
    };
    const Collector::Limits limits = Collector::limits_of(target->subscription);
    active.collector = std::make_unique<Collector>(context_.loop(), limits, std::move(hand_over));
  }
  return [collector = active.collector.get()](Delivery delivery) { return collector->take(std::move(delivery)); };
}

Task<void> ActiveSubscriptions::begin(std::shared_ptr<Active> active) {
  const DeliveryTarget& target = *active->target;
  Nanos pause = kFirstRetry;
  while (true) {
    SubscribeOptions options;
    options.topic = target.component->rules.broker_topic(target.subscription.topic);
    options.group = target.component->rules.group_of(target.app);
    options.metadata.insert(target.subscription.metadata.begin(), target.subscription.metadata.end());
    if (target.subscription.bulk) options.at_once = Collector::limits_of(target.subscription).messages;
    Handler handler = handler_for(*active);
    const Deadline deadline = context_.loop().deadline_in(kSubscribeTimeout);
    auto subscribing = target.component->broker->subscribe(std::move(options), std::move(handler), deadline);
    auto subscription = co_await std::move(subscribing);
    EventStream* const stream = active->wanted.stream.get();
    if (subscription) {
      active->subscription = *std::move(subscription);
      active->beginning = 0;
      if (stream != nullptr) stream->subscribed(ok());
      co_return;
    }
    log_limit_.log(LogLevel::kError,
                   fmt::format("app '{}', component '{}', topic '{}': cannot subscribe: {}", target.app,
                               target.subscription.pubsub, target.subscription.topic, subscription.error().message));
    if (stream != nullptr) stream->subscribed(subscription.error());
    co_await context_.loop().sleep_until(context_.loop().deadline_in(pause));
    pause = std::min(pause * 2, kLongestRetry);
  }
}

/// Lets what runs finish, beside everything else.
void ActiveSubscriptions::retire(std::shared_ptr<Active> active) {
  if (active->beginning != 0) scope_.cancel(active->beginning);
  retiring_.push_back(active);
  scope_.spawn(end(std::move(active)));
}

Task<void> ActiveSubscriptions::end(std::shared_ptr<Active> active) {
  auto draining = drain_one(active, context_.loop().deadline_in(kRetirePatience));
  co_await std::move(draining);
  // The subscription's tasks are its own, so it may be destroyed from this one.
  active->subscription.reset();
  retiring_.remove(active);
}

Task<void> ActiveSubscriptions::drain_one(std::shared_ptr<Active> active, Deadline deadline) {
  if (active->collector != nullptr) active->collector->hurry();
  if (active->subscription == nullptr) co_return;
  auto draining = active->subscription->drain(deadline);
  co_await std::move(draining);
}

Task<void> ActiveSubscriptions::drain(Deadline deadline) {
  TaskScope draining(context_.loop());
  for (const auto& [key, active] : active_) {
    if (active->beginning != 0) scope_.cancel(active->beginning);
    draining.spawn(drain_one(active, deadline));
  }
  for (const auto& active : retiring_) draining.spawn(drain_one(active, deadline));
  auto joining = draining.join(deadline);
  co_await std::move(joining);
}

}  // namespace caisson::pubsub
