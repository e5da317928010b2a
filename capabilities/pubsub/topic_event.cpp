#include "capabilities/pubsub/topic_event.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "sdk/base64.hpp"
#include "sdk/json_reader.hpp"
#include "sdk/rpc.hpp"

namespace caisson::pubsub {

namespace {

namespace rt = dapr::proto::runtime::v1;

constexpr std::string_view kCloudEventJson = "application/cloudevents+json";
constexpr std::string_view kOctets = "application/octet-stream";

void write_value(const JsonValue& from, google::protobuf::Value& to) {
  switch (from.kind) {
    case JsonValue::Kind::kNull:
      to.set_null_value(google::protobuf::NULL_VALUE);
      return;
    case JsonValue::Kind::kFalse:
    case JsonValue::Kind::kTrue:
      to.set_bool_value(from.kind == JsonValue::Kind::kTrue);
      return;
    case JsonValue::Kind::kNumber:
      to.set_number_value(std::strtod(from.text.c_str(), nullptr));
      return;
    case JsonValue::Kind::kString:
      to.set_string_value(sdk::valid_utf8(from.text));
      return;
    case JsonValue::Kind::kArray:
      to.mutable_list_value();
      for (const JsonValue& item : from.items) write_value(item, *to.mutable_list_value()->add_values());
      return;
    case JsonValue::Kind::kObject:
      to.mutable_struct_value();
      for (const auto& [name, value] : from.members) {
        write_value(value, (*to.mutable_struct_value()->mutable_fields())[name]);
      }
      return;
  }
}

bool has_field(std::string_view attribute) {
  for (const std::string_view name :
       {"id", "source", "type", "specversion", "datacontenttype", "data", "data_base64"}) {
    if (attribute == name) return true;
  }
  return false;
}

void write_extensions(const JsonValue& attributes, google::protobuf::Struct& to) {
  for (const auto& [name, value] : attributes.members) {
    if (!has_field(name)) write_value(value, (*to.mutable_fields())[sdk::valid_utf8(name)]);
  }
}

/// The bytes of an event's data; see to_topic_event().
Result<std::string> data_of(const Event& event) {
  const JsonValue& attributes = event.attributes;
  if (event.opaque) return event.message->data;
  const auto wrong = [](std::string_view why) {
    return Error{Errc::kInvalidArgument, fmt::format("the event's data {}", why)};
  };
  if (const JsonValue* const encoded = attributes.find("data_base64"); encoded != nullptr && !encoded->is_null()) {
    if (!encoded->is_string()) return wrong("is no base64 text");
    auto decoded = sdk::base64_decode(encoded->text);
    if (!decoded) return wrong("is no base64");
    return *std::move(decoded);
  }
  const JsonValue* const data = attributes.find("data");
  if (data == nullptr || data->is_null()) return std::string();
  const std::string type = media_type(attributes.text_of("datacontenttype"));
  if (type.starts_with("text/") || type == "application/xml") {
    if (!data->is_string()) return wrong(fmt::format("is no text, as {} must be", type));
    return data->text;
  }
  if (type == "application/json" || type == kCloudEventJson) return to_text(*data);
  return std::string();
}

template <class Request>
void write_attributes(const Event& event, Request& to) {
  const auto text = [&](std::string_view name) { return sdk::valid_utf8(std::string(event.attributes.text_of(name))); };
  to.set_id(text("id"));
  to.set_source(text("source"));
  to.set_type(text("type"));
  to.set_spec_version(text("specversion"));
  to.set_data_content_type(text("datacontenttype"));
  write_extensions(event.attributes, *to.mutable_extensions());
}

}  // namespace

Result<rt::TopicEventRequest> to_topic_event(const Event& event, const config::Subscription& subscription) {
  rt::TopicEventRequest request;
  ASSIGN(*request.mutable_data(), data_of(event));
  write_attributes(event, request);
  request.set_topic(subscription.topic);
  request.set_pubsub_name(subscription.pubsub);
  request.set_path(event.path);
  return request;
}

Attempt attempt_of(rt::TopicEventResponse::TopicEventResponseStatus status) {
  switch (status) {
    case rt::TopicEventResponse::SUCCESS:
      return {Attempt::Kind::kSuccess, 0, {}};
    case rt::TopicEventResponse::RETRY:
      return {Attempt::Kind::kFailed, 0, "the app said RETRY"};
    case rt::TopicEventResponse::DROP:
      return {Attempt::Kind::kDrop, 0, "the app said DROP"};
    default:
      return {Attempt::Kind::kFailed, 0, fmt::format("the app said {}, which is no status", static_cast<int>(status))};
  }
}

namespace {

/// The meaning of a code that is not OK, for one event or all of a batch.
Attempt attempt_after_code(std::uint16_t code) {
  if (code == static_cast<std::uint16_t>(Errc::kUnimplemented)) {
    return {Attempt::Kind::kIgnored, code, "the app does not implement it"};
  }
  const Errc errc = errc_from_wire(static_cast<std::uint8_t>(std::min<std::uint16_t>(code, 255)));
  return {Attempt::Kind::kFailed, code, fmt::format("the app answered {}", name_of(errc))};
}

}  // namespace

Attempt read_topic_event_answer(std::uint16_t code, std::string_view message) {
  if (code != 0) return attempt_after_code(code);
  rt::TopicEventResponse response;
  if (!sdk::parse_message(message, response)) {
    return {Attempt::Kind::kFailed, 0, "the app's answer is no TopicEventResponse"};
  }
  return attempt_of(response.status());
}

BulkTopicEvent to_bulk_topic_event(const config::Subscription& subscription, const std::vector<const Event*>& events,
                                   const std::vector<std::string>& ids) {
  BulkTopicEvent bulk;
  rt::TopicEventBulkRequest& request = bulk.request;
  request.set_id(event_id({}));
  request.set_topic(subscription.topic);
  request.set_pubsub_name(subscription.pubsub);
  request.set_type("com.dapr.event.sent.bulk");
  request.set_path(events.front()->path);
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = *events[i];
    auto data = data_of(event);
    if (!data) {
      bulk.unfit.emplace_back(ids[i], data.error().message);
      continue;
    }
    rt::TopicEventBulkRequestEntry& entry = *request.add_entries();
    entry.set_entry_id(ids[i]);
    for (const auto& [name, value] : event.message->metadata) {
      (*entry.mutable_metadata())[sdk::valid_utf8(name)] = sdk::valid_utf8(value);
    }
    if (event.opaque) {
      const std::string* const type = find_metadata(event.message->metadata, "contentType");
      entry.set_bytes(*std::move(data));
      entry.set_content_type(type == nullptr ? std::string(kOctets) : sdk::valid_utf8(*type));
      continue;
    }
    rt::TopicEventCERequest& inner = *entry.mutable_cloud_event();
    write_attributes(event, inner);
    inner.set_data(*std::move(data));
    entry.set_content_type(std::string(kCloudEventJson));
  }
  return bulk;
}

std::vector<Attempt> read_bulk_topic_event_answer(std::uint16_t code, std::string_view message,
                                                  const std::vector<std::string>& ids) {
  const auto all = [&](Attempt attempt) { return std::vector<Attempt>(ids.size(), std::move(attempt)); };
  if (code != 0) return all(attempt_after_code(code));
  rt::TopicEventBulkResponse response;
  if (!sdk::parse_message(message, response)) {
    return all({Attempt::Kind::kFailed, 0, "the app's answer is no TopicEventBulkResponse"});
  }
  std::vector<Attempt> attempts = all({Attempt::Kind::kFailed, 0, "the app's answer does not name the entry"});
  std::unordered_map<std::string_view, std::size_t> by_id;
  for (std::size_t i = 0; i < ids.size(); ++i) by_id.emplace(ids[i], i);
  for (const rt::TopicEventBulkResponseEntry& one : response.statuses()) {
    const auto found = by_id.find(one.entry_id());
    if (found != by_id.end()) attempts[found->second] = attempt_of(one.status());
  }
  return attempts;
}

Result<std::vector<config::Subscription>> parse_topic_subscriptions(std::string_view message) {
  rt::ListTopicSubscriptionsResponse response;
  if (!sdk::parse_message(message, response)) {
    return Error{Errc::kInvalidArgument, "the answer is no ListTopicSubscriptionsResponse"};
  }
  std::vector<config::Subscription> list;
  for (const rt::TopicSubscription& from : response.subscriptions()) {
    if (from.pubsub_name().empty() || from.topic().empty()) continue;
    config::Subscription& to = list.emplace_back();
    to.pubsub = from.pubsub_name();
    to.topic = from.topic();
    for (const rt::TopicRule& rule : from.routes().rules()) to.rules.push_back({rule.match(), rule.path()});
    to.default_path = from.routes().default_();
    to.dead_letter_topic = from.dead_letter_topic();
    to.metadata.insert(from.metadata().begin(), from.metadata().end());
    const rt::BulkSubscribeConfig& bulk = from.bulk_subscribe();
    to.bulk = bulk.enabled();
    to.bulk_max_messages = static_cast<std::uint32_t>(std::max(bulk.max_messages_count(), 0));
    to.bulk_max_await = std::chrono::milliseconds(std::max(bulk.max_await_duration_ms(), 0));
  }
  return list;
}

}  // namespace caisson::pubsub
