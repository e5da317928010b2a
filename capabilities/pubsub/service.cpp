#include "capabilities/pubsub/service.hpp"

#include <fmt/format.h>

#include <functional>

#include "capabilities/pubsub/cloud_event.hpp"

namespace caisson::pubsub {

Service::Service(sdk::ComponentSet& components, sdk::Resiliency& resiliency, WallClock wall_clock)
    : components_(components), resiliency_(resiliency), wall_clock_(std::move(wall_clock)) {}

Task<PublishResult> Service::publish(Publish request) {
  auto found = co_await find(request);
  if (auto* const refused = std::get_if<PublishResult>(&found)) co_return std::move(*refused);
  const auto component = std::get<std::shared_ptr<PubsubComponent>>(found);
  if (request.topic.empty()) co_return PublishResult{PublishFailure::kTopicEmpty, {}};

  auto data = make_data(request, *component->broker);
  if (auto* const refused = std::get_if<PublishResult>(&data)) co_return std::move(*refused);
  if (!component->rules.may_publish(request.app, request.topic)) {
    component->counters.refused.add();
    co_return PublishResult{PublishFailure::kForbidden,
                            fmt::format("topic {} is not allowed for app id {}", request.topic, request.app)};
  }

  Message message{std::get<std::string>(std::move(data)), request.metadata};
  const auto published = co_await hand_over(request, *component, std::move(message));
  if (!published) {
    component->counters.refused.add();
    co_return PublishResult{PublishFailure::kBroker, published.error().message};
  }
  component->counters.published.add();
  co_return PublishResult{};
}

Task<std::variant<std::shared_ptr<PubsubComponent>, PublishResult>> Service::find(const Publish& request) {
  auto found = co_await components_.find_when_ready(request.pubsub, request.app, request.deadline);
  if (found.component != nullptr) co_return std::static_pointer_cast<PubsubComponent>(found.component);
  PublishResult refused;
  if (found.absent == sdk::ComponentSet::Absent::kNoneConfigured) {
    refused.failure = PublishFailure::kNotConfigured;
  } else if (request.pubsub.empty()) {
    refused.failure = PublishFailure::kPubsubEmpty;
  } else if (found.absent == sdk::ComponentSet::Absent::kUnknown) {
    refused.failure = PublishFailure::kNotFound;
  } else {
    refused.failure = PublishFailure::kBroker;
    refused.reason = "the component is not ready: " + found.reason;
  }
  co_return refused;
}

std::variant<std::string, PublishResult> Service::make_data(const Publish& request, const Broker& broker) {
  if (const std::string* const text = find_metadata(request.metadata, "rawPayload")) {
    const auto raw = parse_strict_bool(*text);
    if (!raw) return PublishResult{PublishFailure::kMetadata, fmt::format("rawPayload: '{}' is not a boolean", *text)};
    if (*raw) return std::string(request.data);
  }
  const std::string id = event_id(request.request);
  EventContext context;
  context.id = id;
  context.app = request.app;
  context.pubsub = request.pubsub;
  context.topic = request.topic;
  context.content_type = request.content_type;
  context.traceparent = request.traceparent;
  context.tracestate = request.tracestate;
  context.now = wall_clock_();
  context.broker_expires = broker.features().expires;
  auto event = wrap(context, request.data, request.metadata);
  if (!event) return PublishResult{PublishFailure::kCloudEvent, std::move(event).error().message};
  return *std::move(event);
}

Task<Result<void>> Service::hand_over(const Publish& request, PubsubComponent& component, Message message) {
  const sdk::Policy policy = resiliency_.component_outbound(request.app, component.name, component.type);
  const std::string topic = component.rules.broker_topic(request.topic);
  std::function<Task<Result<void>>(Deadline)> attempt;
  if (policy.retries()) {
    attempt = [&](Deadline until) { return component.broker->publish(topic, message, until); };
  } else {
    attempt = [&](Deadline until) { return component.broker->publish(topic, std::move(message), until); };
  }
  co_return co_await policy.run<void>(std::move(attempt), request.deadline);
}

}  // namespace caisson::pubsub
