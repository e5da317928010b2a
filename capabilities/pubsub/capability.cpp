#include "capabilities/pubsub/capability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bus/compartments.hpp"
#include "bus/json_writer.hpp"
#include "capabilities/pubsub/dapr_grpc.hpp"
#include "capabilities/pubsub/dapr_http.hpp"
#include "capabilities/pubsub/grpc_app.hpp"
#include "capabilities/pubsub/topic_event.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::string_view kSubscribePath = "/dapr/subscribe";

bool speaks_http(const std::string& protocol) { return protocol == "http" || protocol == "https" || protocol == "h2c"; }

using SubscriptionList = Result<std::vector<config::Subscription>>;

Error not_asked() { return {Errc::kUnavailable, "the app could not be asked for its subscriptions"}; }

/// What an HTTP app said to GET /dapr/subscribe.
SubscriptionList read_subscribe_answer(std::uint16_t status, std::string_view body) {
  if (status == 200) return parse_subscribe_list(body);
  if (status == 404) return std::vector<config::Subscription>();
  if (status == 0) return not_asked();
  return Error{Errc::kUnknown, fmt::format("the app answered {} to {}", status, kSubscribePath)};
}

/// What a gRPC app said to ListTopicSubscriptions.
SubscriptionList read_list_answer(std::uint16_t code, std::string_view message) {
  if (code == static_cast<std::uint16_t>(Errc::kOk)) return parse_topic_subscriptions(message);
  if (code == static_cast<std::uint16_t>(Errc::kUnimplemented)) return std::vector<config::Subscription>();
  if (code == static_cast<std::uint16_t>(Errc::kUnavailable)) return not_asked();
  return Error{Errc::kUnknown, fmt::format("the app answered {} to {}", code, GrpcApp::kListMethod)};
}

bool is_there(const sdk::AppState& app) {
  return app.reachable && app.healthy && (speaks_http(app.protocol) || speaks_grpc(app.protocol));
}

}  // namespace

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

std::unique_ptr<sdk::Capability> make_pubsub(sdk::Context& context) {
  return std::make_unique<PubsubCapability>(context, std::chrono::system_clock::now);
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
      service_(context.loop(), components_, resiliency_, wall_clock_),
      deliverer_(context.loop(), resiliency_, wall_clock_),
      streams_(context.loop(), components_, [this] { reconcile(); }),
      active_(context, deliverer_) {}

PubsubCapability::~PubsubCapability() = default;

void PubsubCapability::define(sdk::Definition& definition) {
  const auto serve = [this](sdk::Request& request) { return publish(request); };
  definition.route(dapr_http::publish_route(), serve);
  definition.route(dapr_http::publish_without_topic_route(), serve);
  definition.route(dapr_http::publish_without_pubsub_route(), serve);
  const auto serve_bulk = [this](sdk::Request& request) { return publish_bulk(request); };
  definition.route(dapr_http::bulk_publish_route(), serve_bulk);
  definition.route(dapr_http::bulk_publish_alpha_route(), serve_bulk);
  definition.route(dapr_grpc::publish_route(), [this](sdk::Request& request) { return publish_rpc(request); });
  const auto serve_bulk_rpc = [this](sdk::Request& request) { return publish_bulk_rpc(request); };
  definition.route(dapr_grpc::bulk_publish_route(), serve_bulk_rpc);
  definition.route(dapr_grpc::bulk_publish_alpha_route(), serve_bulk_rpc);
  definition.stream_route(EventStreams::route(),
                          [this](sdk::Request request) { return streams_.serve(std::move(request)); });
  definition.manifest().calls = {"app", "secrets.resolve"};
  definition.manifest().app_queries = {std::string(kSubscribePath)};
  definition.manifest().app_rpc_queries = {std::string(GrpcApp::kListMethod)};
}

Task<sdk::Response> PubsubCapability::publish(sdk::Request& request) {
  const Publish operation = dapr_http::decode_publish(request);
  auto publishing = service_.publish(operation);
  const PublishResult result = co_await std::move(publishing);
  note(result);
  co_return dapr_http::encode(operation, result);
}

Task<sdk::Response> PubsubCapability::publish_bulk(sdk::Request& request) {
  BulkPublish operation = dapr_http::decode_bulk_publish(request);
  const Publish common = operation.common;
  auto publishing = service_.publish_bulk(std::move(operation));
  const BulkPublishResult result = co_await std::move(publishing);
  note(result.whole);
  co_return dapr_http::encode(common, result);
}

Task<sdk::Response> PubsubCapability::publish_rpc(sdk::Request& request) {
  const auto message = dapr_grpc::read_publish(request);
  if (!message) co_return dapr_grpc::encode(message.error());
  const Publish operation = dapr_grpc::decode(request, *message);
  auto publishing = service_.publish(operation);
  const PublishResult result = co_await std::move(publishing);
  note(result);
  co_return dapr_grpc::encode(operation, result);
}

Task<sdk::Response> PubsubCapability::publish_bulk_rpc(sdk::Request& request) {
  auto operation = dapr_grpc::decode_bulk_publish(request);
  if (!operation) co_return dapr_grpc::encode(operation.error());
  const Publish common = operation->common;
  auto publishing = service_.publish_bulk(*std::move(operation));
  const BulkPublishResult result = co_await std::move(publishing);
  note(result.whole);
  co_return dapr_grpc::encode(common, result);
}

void PubsubCapability::note(const PublishResult& result) {
  const bool failed = result.failure == PublishFailure::kBroker;
  if (failed || std::exchange(publish_failed_, failed)) context_.status_changed();
  publish_failed_ = failed;
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
  const bool by_rpc = answer.path == GrpcApp::kListMethod;
  if (answer.path != kSubscribePath && !by_rpc) return;
  Answer& known = answers_[answer.app];
  known = {};
  known.incarnation = answer.incarnation;
  auto list = by_rpc ? read_list_answer(answer.status, answer.body) : read_subscribe_answer(answer.status, answer.body);
  if (list) {
    known.subscriptions = *std::move(list);
  } else {
    known.problem = list.error().message;
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
  active_.set(wanted());
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
      Key key{app, document.pubsub, document.topic};
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
  const auto state = context_.apps().find(app);
  const bool by_rpc = state != context_.apps().end() && speaks_grpc(state->second.protocol);
  static const std::vector<config::Subscription> kNone;
  const auto& declarative = generation_ == nullptr ? kNone : generation_->subscriptions;
  return subscriptions_of(app, by_rpc ? Paths::kMayBeEmpty : Paths::kRequired, declarative,
                          answer == answers_.end() ? kNone : answer->second.subscriptions);
}

std::map<PubsubCapability::Key, ActiveSubscriptions::Wanted> PubsubCapability::wanted() const {
  std::map<Key, ActiveSubscriptions::Wanted> all;
  const auto add = [&](Key key, ActiveSubscriptions::Wanted wanted) {
    auto found = components_.find(key.component, key.app);
    if (found.component == nullptr || wanted.subscription.unusable) return;
    wanted.component = std::static_pointer_cast<PubsubComponent>(found.component);
    if (wanted.component->rules.may_subscribe(key.app, key.topic)) all.emplace(std::move(key), std::move(wanted));
  };
  for (const auto& [id, app] : context_.apps()) {
    // Until the app has said what it wants, a declarative subscription may be one it replaces.
    const auto answer = answers_.find(id);
    if (!is_there(app) || answer == answers_.end() || answer->second.incarnation != app.incarnation) continue;
    for (AppSubscription& subscription : subscriptions_for(id)) {
      Key key{id, subscription.document.pubsub, subscription.document.topic};
      add(std::move(key), {app.incarnation, app.protocol, std::move(subscription), {}, {}});
    }
  }
  for (const auto& [id, open] : streams_.open()) {
    const config::Subscription& document = open.stream->subscription();
    AppSubscription subscription = examine(document, Source::kStreaming, Paths::kRequired);
    add({open.app, document.pubsub, document.topic, id}, {0, {}, std::move(subscription), {}, open.stream});
  }
  return all;
}

Task<void> PubsubCapability::drain(Deadline deadline) {
  draining_ = true;
  auto draining = active_.drain(deadline);
  co_await std::move(draining);
  streams_.drain();
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
  for (const auto& [id, open] : streams_.open()) {
    write_metadata(json, open.app, examine(open.stream->subscription(), Source::kStreaming, Paths::kRequired));
    any = true;
  }
  json.end_array();
  return any ? "\"subscriptions\":" + json.take() : std::string();
}

}  // namespace caisson::pubsub
