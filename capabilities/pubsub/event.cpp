#include "capabilities/pubsub/event.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "capabilities/pubsub/subscriptions.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::string_view kBinaryPrefix = "ce_";

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The event's own trace context, or the one beside the message.
std::string trace_field(const JsonValue& event, const Message& message, std::string_view name, std::string_view older) {
  for (const std::string_view member : {name, older}) {
    const std::string_view value = event.text_of(member);
    if (!value.empty()) return std::string(value);
  }
  const std::string* const beside = find_metadata(message.metadata, name);
  return beside == nullptr ? std::string() : *beside;
}

/// An event in CloudEvents' binary mode: bytes, and the attributes beside them under names with a prefix.
JsonValue binary_event(const Message& message, std::string_view content_type) {
  JsonValue event = JsonValue::object();
  for (const auto& [name, value] : message.metadata) {
    if (name.size() <= kBinaryPrefix.size()) continue;
    if (!equal_ignoring_case(std::string_view(name).substr(0, kBinaryPrefix.size()), kBinaryPrefix)) continue;
    event.set(std::string_view(name).substr(kBinaryPrefix.size()), JsonValue::string(value));
  }
  event.set("datacontenttype", JsonValue::string(content_type));
  event.set("data", JsonValue::string(message.data));
  return event;
}

JsonValue wrapped(const DeliveryTarget& target, const Message& message, WallTime now) {
  const std::string id = event_id({});
  EventContext context;
  context.id = id;
  context.app = target.app;
  context.pubsub = target.subscription.pubsub;
  context.topic = target.subscription.topic;
  const std::string traceparent = trace_field(JsonValue::object(), message, "traceparent", "traceid");
  const std::string tracestate = trace_field(JsonValue::object(), message, "tracestate", "tracestate");
  context.traceparent = traceparent;
  context.tracestate = tracestate;
  context.now = now;
  return raw_event(context, message.data);
}

}  // namespace

DeliveryTarget::DeliveryTarget(std::string app_id, config::Subscription document, Router routes,
                               std::shared_ptr<PubsubComponent> of, std::shared_ptr<Receiver> to)
    : app(std::move(app_id)),
      subscription(std::move(document)),
      router(std::move(routes)),
      raw(wants_raw(subscription)),
      component(std::move(of)),
      receiver(std::move(to)) {}

std::variant<Event, Undeliverable> make_event(const DeliveryTarget& target, const Message& message, WallTime now) {
  Event event;
  event.message = &message;
  event.raw = target.raw;
  const std::string* const content_type = find_metadata(message.metadata, "contentType");
  if (target.raw) {
    event.opaque = true;
    event.attributes = wrapped(target, message, now);
  } else if (content_type != nullptr && media_type(*content_type) == "application/octet-stream") {
    event.opaque = true;
    event.attributes = binary_event(message, *content_type);
  } else {
    auto json = parse_json(message.data);
    if (!json || !json->is_object()) return Undeliverable{Verdict::kRetry, "it is not a JSON object"};
    event.attributes = *std::move(json);
  }
  if (has_expired(event.attributes, now)) return Undeliverable{Verdict::kAcknowledge, "it has expired", true};
  auto route = target.router.route(event.attributes);
  if (!route) return Undeliverable{Verdict::kAcknowledge, "no route takes it"};
  event.path = *std::move(route);
  event.traceparent = child_traceparent(trace_field(event.attributes, message, "traceparent", "traceid"));
  if (!event.traceparent.empty()) {
    event.tracestate = trace_field(event.attributes, message, "tracestate", "tracestate");
  }
  return event;
}

std::string child_traceparent(std::string_view parent) {
  // version(2)-trace id(32)-span id(16)-flags(2)
  if (parent.size() < 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-') return {};
  const std::string_view trace = parent.substr(3, 32);
  const std::string_view flags = parent.substr(53, 2);
  const bool whole = is_hex(trace) && is_hex(flags) && is_hex(parent.substr(36, 16)) && is_hex(parent.substr(0, 2));
  if (!whole || parent.starts_with("ff") || trace.find_first_not_of('0') == std::string_view::npos) return {};
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::string child;
  child.reserve(55);
  child.append("00-").append(trace) += '-';
  append_hex(child, random() | 1, 16);
  (child += '-').append(flags);
  return child;
}

}  // namespace caisson::pubsub
