#include "capabilities/pubsub/subscriptions.hpp"

#include <algorithm>
#include <charconv>

#include "capabilities/pubsub/cloud_event.hpp"
#include "sdk/component_set.hpp"

namespace caisson::pubsub {

namespace {

std::string text_in(const JsonValue& object, std::string_view name) {
  const JsonValue* const value = object.find_ignoring_case(name);
  return value != nullptr && value->is_string() ? value->text : std::string();
}

void read_routes(const JsonValue& routes, config::Subscription& subscription) {
  if (!routes.is_object()) return;
  if (const JsonValue* const rules = routes.find_ignoring_case("rules"); rules != nullptr && rules->is_array()) {
    for (const JsonValue& rule : rules->items) {
      if (!rule.is_object()) continue;
      config::RoutingRule one{text_in(rule, "match"), text_in(rule, "path")};
      if (!one.path.empty()) subscription.rules.push_back(std::move(one));
    }
  }
  const std::string otherwise = text_in(routes, "default");
  if (!otherwise.empty()) subscription.default_path = otherwise;
}

std::uint32_t number_in(const JsonValue& object, std::string_view name) {
  const JsonValue* const value = object.find_ignoring_case(name);
  std::uint32_t number = 0;
  if (value != nullptr && value->kind == JsonValue::Kind::kNumber) {
    std::from_chars(value->text.data(), value->text.data() + value->text.size(), number);
  }
  return number;
}

void read_bulk(const JsonValue& bulk, config::Subscription& subscription) {
  if (!bulk.is_object()) return;
  const JsonValue* const enabled = bulk.find_ignoring_case("enabled");
  subscription.bulk = enabled != nullptr && enabled->kind == JsonValue::Kind::kTrue;
  subscription.bulk_max_messages = number_in(bulk, "maxMessagesCount");
  subscription.bulk_max_await = std::chrono::milliseconds(number_in(bulk, "maxAwaitDurationMs"));
}

config::Subscription read_entry(const JsonValue& entry) {
  config::Subscription subscription;
  subscription.pubsub = text_in(entry, "pubsubname");
  subscription.topic = text_in(entry, "topic");
  subscription.default_path = text_in(entry, "route");
  if (const JsonValue* const routes = entry.find_ignoring_case("routes")) read_routes(*routes, subscription);
  subscription.dead_letter_topic = text_in(entry, "deadLetterTopic");
  if (const JsonValue* const metadata = entry.find_ignoring_case("metadata");
      metadata != nullptr && metadata->is_object()) {
    for (const auto& [name, value] : metadata->members) {
      if (value.is_string()) subscription.metadata.emplace(name, value.text);
    }
  }
  if (const JsonValue* const bulk = entry.find_ignoring_case("bulkSubscribe")) read_bulk(*bulk, subscription);
  return subscription;
}

}  // namespace

Result<std::vector<config::Subscription>> parse_subscribe_list(std::string_view json) {
  ASSIGN(const JsonValue list, parse_json(json));
  std::vector<config::Subscription> subscriptions;
  if (list.is_null()) return subscriptions;
  if (!list.is_array()) return Error{Errc::kInvalidArgument, "the answer of /dapr/subscribe is no array"};
  for (const JsonValue& entry : list.items) {
    if (!entry.is_object()) return Error{Errc::kInvalidArgument, "an entry of /dapr/subscribe is no object"};
    config::Subscription one = read_entry(entry);
    const bool routed = !one.default_path.empty() || !one.rules.empty();
    if (routed && !one.pubsub.empty() && !one.topic.empty()) subscriptions.push_back(std::move(one));
  }
  return subscriptions;
}

AppSubscription examine(const config::Subscription& document, Source source, Paths paths) {
  AppSubscription subscription{document, source, Router(document, paths)};
  subscription.problem = subscription.router.problem();
  if (subscription.router.empty()) {
    subscription.unusable = true;
    if (subscription.problem.empty()) subscription.problem = "it has no route";
  }
  return subscription;
}

std::vector<AppSubscription> subscriptions_of(std::string_view app, Paths paths,
                                              const std::vector<config::Subscription>& declarative,
                                              const std::vector<config::Subscription>& programmatic) {
  std::vector<AppSubscription> all;
  const auto add = [&](const config::Subscription& document, Source source) {
    const bool known = std::ranges::any_of(all, [&](const AppSubscription& other) {
      return other.document.pubsub == document.pubsub && other.document.topic == document.topic;
    });
    if (!known) all.push_back(examine(document, source, paths));
  };
  for (const config::Subscription& document : programmatic) add(document, Source::kProgrammatic);
  for (const config::Subscription& document : declarative) {
    const bool in_scope = document.scopes.empty() || std::ranges::find(document.scopes, app) != document.scopes.end();
    if (in_scope) add(document, Source::kDeclarative);
  }
  return all;
}

bool wants_raw(const config::Subscription& subscription) {
  const std::string* const raw = find_metadata(subscription.metadata, "rawPayload");
  return raw != nullptr && sdk::is_truthy(*raw);
}

bool same_subscription(const config::Subscription& a, const config::Subscription& b) {
  const auto same_rule = [](const config::RoutingRule& x, const config::RoutingRule& y) {
    return x.match == y.match && x.path == y.path;
  };
  return a.pubsub == b.pubsub && a.topic == b.topic && a.default_path == b.default_path &&
         a.dead_letter_topic == b.dead_letter_topic && a.metadata == b.metadata && a.bulk == b.bulk &&
         a.bulk_max_messages == b.bulk_max_messages && a.bulk_max_await == b.bulk_max_await &&
         std::ranges::equal(a.rules, b.rules, same_rule);
}

void write_metadata(JsonWriter& json, std::string_view app, const AppSubscription& subscription) {
  constexpr const char* kNames[] = {"DECLARATIVE", "PROGRAMMATIC", "STREAMING"};
  const config::Subscription& document = subscription.document;
  json.begin_object();
  json.key("appId").value(app);
  json.key("pubsubname").value(document.pubsub).key("topic").value(document.topic);
  if (!document.metadata.empty()) {
    json.key("metadata").begin_object();
    for (const auto& [name, value] : document.metadata) json.key(name).value(value);
    json.end_object();
  }
  json.key("rules").begin_array();
  for (const config::RoutingRule& rule : document.rules) {
    json.begin_object();
    if (!rule.match.empty()) json.key("match").value(rule.match);
    json.key("path").value(rule.path).end_object();
  }
  if (!document.default_path.empty()) json.begin_object().key("path").value(document.default_path).end_object();
  json.end_array();
  json.key("deadLetterTopic").value(document.dead_letter_topic);
  json.key("type").value(kNames[static_cast<std::size_t>(subscription.source)]);
  json.end_object();
}

}  // namespace caisson::pubsub
