#include "capabilities/pubsub/http_app.hpp"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

#include "bus/json_writer.hpp"
#include "capabilities/pubsub/app_call.hpp"
#include "sdk/base64.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::string_view kCloudEventJson = "application/cloudevents+json";
constexpr std::string_view kOctets = "application/octet-stream";

/// The word of an app about an event.
Attempt verdict_of(std::uint16_t status, std::string_view word) {
  if (word == "SUCCESS") return {Attempt::Kind::kSuccess, status, {}};
  if (word == "DROP") return {Attempt::Kind::kDrop, status, "the app said DROP"};
  return {Attempt::Kind::kFailed, status, fmt::format("the app said {}", word.substr(0, 64))};
}

}  // namespace

Task<Attempt> HttpApp::take(const Event& event, Deadline deadline) {
  const std::size_t question = event.path.find('?');
  const std::string path = (event.path.starts_with('/') ? "" : "/") + event.path.substr(0, question);
  const Field own[] = {{"pubsubname", subscription_.pubsub}, {"content-type", kCloudEventJson}};
  Envelope call;
  call.app = app_;
  call.path = path;
  if (question != std::string::npos) call.query = std::string_view(event.path).substr(question + 1);
  call.traceparent = event.traceparent;
  call.tracestate = event.tracestate;
  call.headers = own;
  MessageMetadata headers = metadata_headers(event.message->metadata);
  std::string body = event.raw ? to_text(event.attributes) : event.message->data;
  auto calling = call_app(context_, call, std::move(headers), std::move(body), deadline);
  const auto reply = co_await std::move(calling);
  if (!reply) co_return attempt_after(reply.error());
  co_return read_app_answer(reply->status, reply->body);
}

Attempt read_app_answer(std::uint16_t status, std::string_view body) {
  if (status == 404) return {Attempt::Kind::kDrop, status, "the app has no such route (404)"};
  if (status < 200 || status > 299) {
    return {Attempt::Kind::kFailed, status, fmt::format("the app answered {}", status)};
  }
  if (body.empty()) return {Attempt::Kind::kSuccess, status, {}};
  const auto parsed = parse_json(body);
  if (!parsed || !parsed->is_object()) return {Attempt::Kind::kSuccess, status, {}};
  const JsonValue* const verdict = parsed->find_ignoring_case("status");
  if (verdict == nullptr || !verdict->is_string() || verdict->text.empty()) {
    return {Attempt::Kind::kSuccess, status, {}};
  }
  return verdict_of(status, verdict->text);
}

// --- several at once ---

Task<std::vector<Attempt>> HttpApp::take_all(std::vector<const Event*> events, Deadline deadline) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < events.size(); ++i) ids.push_back(event_id({}));
  const std::string& route = events.front()->path;
  const std::size_t question = route.find('?');
  const std::string path = (route.starts_with('/') ? "" : "/") + route.substr(0, question);
  const Field own[] = {{"content-type", "application/json"}};
  Envelope call;
  call.app = app_;
  call.path = path;
  if (question != std::string::npos) call.query = std::string_view(route).substr(question + 1);
  call.headers = own;
  std::string body = write_bulk_envelope(subscription_, events, ids);
  MessageMetadata none;
  auto calling = call_app(context_, call, std::move(none), std::move(body), deadline);
  const auto reply = co_await std::move(calling);
  if (!reply) co_return std::vector<Attempt>(events.size(), attempt_after(reply.error()));
  co_return read_bulk_answer(reply->status, reply->body, ids);
}

std::string write_bulk_envelope(const config::Subscription& subscription, const std::vector<const Event*>& events,
                                const std::vector<std::string>& ids) {
  JsonWriter json;
  json.begin_object().key("id").value(event_id({})).key("entries").begin_array();
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = *events[i];
    json.begin_object().key("entryId").value(ids[i]);
    if (event.opaque) {
      const std::string* const type = find_metadata(event.message->metadata, "contentType");
      json.key("event").value(sdk::base64_encode(event.message->data));
      json.key("contentType").value(type == nullptr ? kOctets : std::string_view(*type));
    } else {
      std::string text;
      append_json(text, event.attributes, HtmlEscape::kNo);
      json.key("event").raw(text).key("contentType").value(kCloudEventJson);
    }
    json.key("metadata").begin_object();
    for (const auto& [name, value] : event.message->metadata) json.key(name).value(value);
    json.end_object().end_object();
  }
  json.end_array().key("metadata").begin_object().end_object();
  json.key("topic").value(subscription.topic).key("pubsubname").value(subscription.pubsub);
  json.key("type").value("com.dapr.event.sent.bulk").end_object();
  return json.take();
}

std::vector<Attempt> read_bulk_answer(std::uint16_t status, std::string_view body,
                                      const std::vector<std::string>& ids) {
  const auto all = [&](Attempt::Kind kind, std::string reason) {
    return std::vector<Attempt>(ids.size(), Attempt{kind, status, std::move(reason)});
  };
  if (status == 404) return all(Attempt::Kind::kIgnored, "the app has no such route (404)");
  if (status < 200 || status > 299) return all(Attempt::Kind::kFailed, fmt::format("the app answered {}", status));
  const auto parsed = parse_json(body);
  const JsonValue* const statuses = parsed && parsed->is_object() ? parsed->find_ignoring_case("statuses") : nullptr;
  if (statuses == nullptr || !statuses->is_array()) {
    return all(Attempt::Kind::kFailed, "the app's answer holds no statuses");
  }
  std::vector<Attempt> attempts = all(Attempt::Kind::kFailed, "the app's answer does not name the entry");
  std::unordered_map<std::string_view, std::size_t> by_id;
  for (std::size_t i = 0; i < ids.size(); ++i) by_id.emplace(ids[i], i);
  for (const JsonValue& one : statuses->items) {
    if (!one.is_object()) continue;
    const JsonValue* const id = one.find_ignoring_case("entryId");
    const auto found = id != nullptr && id->is_string() ? by_id.find(id->text) : by_id.end();
    if (found == by_id.end()) continue;
    const JsonValue* const word = one.find_ignoring_case("status");
    attempts[found->second] = verdict_of(status, word != nullptr && word->is_string() ? word->text : "nothing");
  }
  return attempts;
}

}  // namespace caisson::pubsub
