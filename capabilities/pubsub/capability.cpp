#include "capabilities/pubsub/capability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bus/compartments.hpp"
#include "bus/json_writer.hpp"
#include "capabilities/pubsub/dapr_http.hpp"

namespace caisson::pubsub {

namespace {

/// Handlers that run when a subscription ends may go on for this long.
constexpr Nanos kRetirePatience = std::chrono::seconds(9);
constexpr Nanos kSubscribeTimeout = std::chrono::seconds(10);
constexpr Nanos kFirstRetry = std::chrono::milliseconds(250);
constexpr Nanos kLongestRetry = std::chrono::seconds(15);
constexpr std::string_view kSubscribePath = "/dapr/subscribe";

bool is_there(const sdk::AppState& app) {
  return app.reachable && app.healthy && (app.protocol == "http" || app.protocol == "https" || app.protocol == "h2c");
}

}  // namespace

/// One subscription that runs, begins or ends.
struct PubsubCapability::Active {
  Wanted wanted;
  std::shared_ptr<const DeliveryTarget> target;
  TaskScope::Id beginning = 0;
  bool retired = false;
  std::unique_ptr<Subscription> subscription;  // after the target, which keeps its broker
};

std::string component_label(const std::string& component) {
  std::string name;
  for (const char c : component) {
    if (c == '"' || c == '\\') name += '\\';
    name += c;
  }
  return fmt::format("component=\"{}\"", name);
}

PubsubCounters::PubsubCounters(sdk::Counters& counters, const std::string& component) {
  const std::string labels = component_label(component);
  published = counters.counter("pubsub_published_total", labels);
  refused = counters.counter("pubsub_publish_errors_total", labels);
  delivered = counters.counter("pubsub_delivered_total", labels);
  acknowledged = counters.counter("pubsub_acknowledged_total", labels);
  retried = counters.counter("pubsub_retried_total", labels);
  dropped = counters.counter("pubsub_dropped_total", labels);
  dead_lettered = counters.counter("pubsub_dead_lettered_total", labels);
}

PubsubCapability::PubsubCapability(sdk::Context& context, WallClock wall_clock, std::vector<BrokerType> more)
    : context_(context),
      wall_clock_(std::move(wall_clock)),
      more_types_(std::move(more)),
      resiliency_(context.loop()),
      components_(
          context,
          {.prefix = "pubsub.", .exclusive = is_exclusive, .changed = [this](const std::string&) { reconcile(); }},
          [this](const sdk::ComponentSpec& spec, Deadline deadline) { return make(spec, deadline); }),
      service_(components_, resiliency_, wall_clock_),
      deliverer_(context, resiliency_, wall_clock_),
      scope_(context.loop()) {}

PubsubCapability::~PubsubCapability() = default;

void PubsubCapability::define(sdk::Definition& definition) {
  const auto serve = [this](sdk::Request& request) { return publish(request); };
  definition.route(dapr_http::publish_route(), serve);
  definition.route(dapr_http::publish_without_topic_route(), serve);
  definition.route(dapr_http::publish_without_pubsub_route(), serve);
  definition.manifest().calls = {"app", "secrets.resolve"};
  definition.manifest().app_queries = {std::string(kSubscribePath)};
}

Task<sdk::Response> PubsubCapability::publish(sdk::Request& request) {
  const Publish operation = dapr_http::decode_publish(request);
  const PublishResult result = co_await service_.publish(operation);
  // What a broker says about itself may have changed with it.
  const bool failed = result.failure == PublishFailure::kBroker;
  if (failed || std::exchange(publish_failed_, failed)) context_.status_changed();
  publish_failed_ = failed;
  co_return dapr_http::encode(operation, result);
}

Task<Result<std::shared_ptr<sdk::Component>>> PubsubCapability::make(const sdk::ComponentSpec& spec,
                                                                     Deadline deadline) {
  auto component = std::make_shared<PubsubComponent>();
  component->name = spec.name;
  component->type = spec.type;
  component->rules = TopicRules(spec.metadata);
  component->counters = PubsubCounters(context_.counters(), spec.name);
  CO_ASSIGN(component->processing_timeout,
            spec.metadata.get_duration("processingTimeout", component->processing_timeout));
  auto making = make_any_broker(spec, deadline);
  CO_ASSIGN(component->broker, co_await std::move(making));
  std::shared_ptr<sdk::Component> made = std::move(component);
  co_return Result<std::shared_ptr<sdk::Component>>(std::move(made));
}

Task<Result<std::shared_ptr<Broker>>> PubsubCapability::make_any_broker(const sdk::ComponentSpec& spec,
                                                                        Deadline deadline) {
  for (const BrokerType& one : more_types_) {
    if (one.type == spec.type) return one.make(context_, spec, wall_clock_, deadline);
  }
  return make_broker(context_, spec, wall_clock_, deadline);
}

// --- what changes ---

void PubsubCapability::configure(std::shared_ptr<const config::Generation> generation) {
  generation_ = std::move(generation);
  resiliency_.configure(*generation_);
  components_.configure(*generation_);
  reconcile();
}

void PubsubCapability::app_changed(const sdk::AppState&) { reconcile(); }

void PubsubCapability::app_gone(const std::string& app) {
  answers_.erase(app);
  reconcile();
}

void PubsubCapability::app_answered(const sdk::AppAnswer& answer) {
  if (answer.path != kSubscribePath) return;
  Answer& known = answers_[answer.app];
  known = {};
  known.incarnation = answer.incarnation;
  if (answer.status == 200) {
    auto list = parse_subscribe_list(answer.body);
    if (list) {
      known.subscriptions = *std::move(list);
    } else {
      known.problem = list.error().message;
    }
  } else if (answer.status == 0) {
    known.problem = "the app could not be asked for its subscriptions";
  } else if (answer.status != 404) {
    known.problem = fmt::format("the app answered {} to {}", answer.status, kSubscribePath);
  }
  if (!known.problem.empty() && speaks_for_all())
    log(LogLevel::kError, fmt::format("app '{}': {}", answer.app, known.problem));
  reconcile();
}

// --- what runs ---

void PubsubCapability::reconcile() {
  if (std::exchange(reconciling_, true)) return;
  context_.loop().post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    reconciling_ = false;
    reconcile_now();
  });
}

void PubsubCapability::reconcile_now() {
  if (draining_) return;
  std::map<Key, Wanted> due = wanted();
  for (auto active = active_.begin(); active != active_.end();) {
    const auto still = due.find(active->first);
    const Wanted& is = active->second->wanted;
    const bool same = still != due.end() && still->second.incarnation == is.incarnation &&
                      still->second.component == is.component &&
                      same_subscription(still->second.subscription.document, is.subscription.document);
    if (same) {
      ++active;
      continue;
    }
    retire(active->second);
    active = active_.erase(active);
  }
  for (auto& [key, want] : due) {
    if (active_.contains(key)) continue;
    auto active = std::make_shared<Active>();
    active->wanted = std::move(want);
    active->target = std::make_shared<DeliveryTarget>(std::get<0>(key), active->wanted.subscription.document,
                                                      active->wanted.component);
    active_.emplace(key, active);
    active->beginning = scope_.spawn(begin(active));
  }
  say_what_is_unknown();
  context_.status_changed();
}

bool PubsubCapability::speaks_for_all() const {
  return generation_ == nullptr || compartment_of(generation_->audience).empty();
}

bool PubsubCapability::is_ours(const std::string& component) const {
  const bool held =
      generation_ != nullptr &&
      std::ranges::find(generation_->components, component, &config::Component::name) != generation_->components.end();
  if (held || !speaks_for_all()) return held;
  return generation_ == nullptr || std::ranges::find(generation_->elsewhere, component,
                                                     &config::Elsewhere::component) == generation_->elsewhere.end();
}

/// A subscription to a component that nobody holds, once, however many processes hear of it.
void PubsubCapability::say_what_is_unknown() {
  if (generation_ == nullptr || !speaks_for_all()) return;
  std::set<Key> unknown;
  for (const auto& [app, state] : context_.apps()) {
    for (const AppSubscription& subscription : subscriptions_for(app)) {
      const config::Subscription& document = subscription.document;
      if (!is_ours(document.pubsub)) continue;
      const auto found = components_.find(document.pubsub, app);
      if (found.component != nullptr || found.absent == sdk::ComponentSet::Absent::kNotReady) continue;
      Key key(app, document.pubsub, document.topic);
      if (!said_unknown_.contains(key)) {
        log_limit_.log(LogLevel::kError, fmt::format("app '{}' subscribes to topic '{}' of '{}', which is no pubsub "
                                                     "component it may use",
                                                     app, document.topic, document.pubsub));
      }
      unknown.insert(std::move(key));
    }
  }
  said_unknown_ = std::move(unknown);
}

std::vector<AppSubscription> PubsubCapability::subscriptions_for(const std::string& app) const {
  const auto answer = answers_.find(app);
  static const std::vector<config::Subscription> kNone;
  const auto& declarative = generation_ == nullptr ? kNone : generation_->subscriptions;
  return subscriptions_of(app, declarative, answer == answers_.end() ? kNone : answer->second.subscriptions);
}

std::map<PubsubCapability::Key, PubsubCapability::Wanted> PubsubCapability::wanted() const {
  std::map<Key, Wanted> all;
  for (const auto& [id, app] : context_.apps()) {
    // Until the app has said what it wants, a declarative subscription may be one it replaces.
    const auto answer = answers_.find(id);
    if (!is_there(app) || answer == answers_.end() || answer->second.incarnation != app.incarnation) continue;
    for (AppSubscription& subscription : subscriptions_for(id)) {
      const config::Subscription& document = subscription.document;
      auto found = components_.find(document.pubsub, id);
      if (found.component == nullptr || subscription.unusable) continue;
      auto component = std::static_pointer_cast<PubsubComponent>(found.component);
      if (!component->rules.may_subscribe(id, document.topic)) continue;
      Key key(id, document.pubsub, document.topic);
      all.emplace(std::move(key), Wanted{app.incarnation, std::move(subscription), std::move(component)});
    }
  }
  return all;
}

Task<void> PubsubCapability::begin(std::shared_ptr<Active> active) {
  const DeliveryTarget& target = *active->target;
  Nanos pause = kFirstRetry;
  while (true) {
    SubscribeOptions options;
    options.topic = target.component->rules.broker_topic(target.subscription.topic);
    options.group = target.component->rules.group_of(target.app);
    options.metadata.insert(target.subscription.metadata.begin(), target.subscription.metadata.end());
    Handler handler = [this, to = active->target](Delivery delivery) {
      return deliverer_.deliver(to, std::move(delivery));
    };
    const Deadline deadline = context_.loop().deadline_in(kSubscribeTimeout);
    auto subscription = co_await target.component->broker->subscribe(std::move(options), std::move(handler), deadline);
    if (subscription) {
      active->subscription = *std::move(subscription);
      active->beginning = 0;
      co_return;
    }
    log_limit_.log(LogLevel::kError,
                   fmt::format("app '{}', component '{}', topic '{}': cannot subscribe: {}", target.app,
                               target.subscription.pubsub, target.subscription.topic, subscription.error().message));
    co_await context_.loop().sleep_until(context_.loop().deadline_in(pause));
    pause = std::min(pause * 2, kLongestRetry);
  }
}

/// Lets what runs finish, beside everything else.
void PubsubCapability::retire(std::shared_ptr<Active> active) {
  if (active->beginning != 0) scope_.cancel(active->beginning);
  retiring_.push_back(active);
  scope_.spawn(end(std::move(active)));
}

Task<void> PubsubCapability::end(std::shared_ptr<Active> active) {
  co_await drain_one(active, context_.loop().deadline_in(kRetirePatience));
  // The subscription's tasks are its own, so it may be destroyed from this one.
  active->subscription.reset();
  retiring_.remove(active);
}

Task<void> PubsubCapability::drain_one(std::shared_ptr<Active> active, Deadline deadline) {
  if (active->subscription != nullptr) co_await active->subscription->drain(deadline);
}

Task<void> PubsubCapability::drain(Deadline deadline) {
  draining_ = true;
  TaskScope draining(context_.loop());
  for (const auto& [key, active] : active_) {
    if (active->beginning != 0) scope_.cancel(active->beginning);
    draining.spawn(drain_one(active, deadline));
  }
  for (const auto& active : retiring_) draining.spawn(drain_one(active, deadline));
  co_await draining.join(deadline);
}

// --- what is said about it ---

std::string PubsubCapability::hindrance(const std::string& app, const AppSubscription& subscription) const {
  const config::Subscription& document = subscription.document;
  const auto found = components_.find(document.pubsub, app);
  if (found.component != nullptr) {
    const auto& component = static_cast<const PubsubComponent&>(*found.component);
    if (!component.rules.may_subscribe(app, document.topic)) return "the app is not allowed to subscribe to the topic";
  }
  return subscription.problem;
}

std::vector<sdk::ComponentStatus> PubsubCapability::components() const {
  std::vector<sdk::ComponentStatus> all = components_.status();
  for (const auto& [app, state] : context_.apps()) {
    for (const AppSubscription& subscription : subscriptions_for(app)) {
      const std::string why = hindrance(app, subscription);
      if (why.empty()) continue;
      for (sdk::ComponentStatus& status : all) {
        if (status.name != subscription.document.pubsub) continue;
        if (!status.reason.empty()) status.reason += "; ";
        status.reason +=
            fmt::format("subscription of app '{}' to topic '{}': {}", app, subscription.document.topic, why);
      }
    }
  }
  return all;
}

std::string PubsubCapability::metadata() const {
  JsonWriter json;
  json.begin_array();
  bool any = false;
  for (const auto& [app, state] : context_.apps()) {
    for (const AppSubscription& subscription : subscriptions_for(app)) {
      if (!is_ours(subscription.document.pubsub)) continue;
      write_metadata(json, app, subscription);
      any = true;
    }
  }
  json.end_array();
  return any ? "\"subscriptions\":" + json.take() : std::string();
}

}  // namespace caisson::pubsub
