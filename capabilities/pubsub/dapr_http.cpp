#include "capabilities/pubsub/dapr_http.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "bus/json_writer.hpp"
#include "capabilities/pubsub/cloud_event.hpp"
#include "capabilities/pubsub/publish_error.hpp"
#include "sdk/base64.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::pubsub::dapr_http {

namespace {

Route route_at(std::string path) {
  Route route;
  route.method = "POST,PUT";
  route.path = std::move(path);
  route.group = "publish";
  route.version = "v1.0";
  route.too_large = {500, "ERR_PUBSUB_PUBLISH_MESSAGE", "the body is larger than --max-body-size"};
  return route;
}

}  // namespace

Route publish_route() {
  Route route = route_at("/v1.0/publish/{pubsub}/{topic...}");
  route.selector = "pubsub";
  return route;
}

Route publish_without_topic_route() {
  Route route = route_at("/v1.0/publish/{pubsub}");
  route.selector = "pubsub";
  return route;
}

Route publish_without_pubsub_route() { return route_at("/v1.0/publish"); }

Publish decode_publish(const sdk::Request& request) {
  Publish publish;
  publish.app = request.app();
  publish.pubsub = request.parameter("pubsub");
  publish.topic = request.parameter("topic");
  publish.content_type = request.header("content-type");
  publish.data = request.body();
  publish.metadata = sdk::query_metadata(request.query());
  publish.traceparent = request.traceparent();
  publish.tracestate = request.tracestate();
  publish.request = request.id();
  publish.deadline = request.deadline();
  return publish;
}

sdk::Response encode(const Publish& request, const PublishResult& result) {
  if (result.failure == PublishFailure::kNone) return sdk::no_content();
  return sdk::error_response(describe(request, result).error);
}

// --- bulk ---

Route bulk_publish_route() {
  Route route = route_at("/v1.0/publish/bulk/{pubsub}/{topic...}");
  route.selector = "pubsub";
  return route;
}

Route bulk_publish_alpha_route() {
  Route route = bulk_publish_route();
  route.path = "/v1.0-alpha1/publish/bulk/{pubsub}/{topic...}";
  route.version = "v1.0-alpha1";
  return route;
}

namespace {

PublishResult unreadable(std::string why) { return {PublishFailure::kEntriesText, std::move(why)}; }

/// A member that is a string, or absent or null, which is the empty one.
std::optional<std::string> text_member(const JsonValue& entry, std::string_view name) {
  const JsonValue* const value = entry.find_ignoring_case(name);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string()) return std::nullopt;
  return value->text;
}

/// The bytes that `event` stands for under the content type; nothing when it does not fit.
std::optional<std::string> bytes_of(const JsonValue& event, std::string_view content_type) {
  const std::string type = media_type(content_type);
  if (type == "application/octet-stream") {
    return event.is_string() ? sdk::base64_decode(event.text) : std::nullopt;
  }
  if (type.starts_with("text/") || type == "application/xml") {
    return event.is_string() ? std::optional<std::string>(event.text) : std::nullopt;
  }
  if (type == "application/json" || type == "application/cloudevents+json") return to_text(event);
  return std::nullopt;
}

PublishResult read_entry(const JsonValue& from, const MessageMetadata& common, BulkEntry& to) {
  if (!from.is_object()) return unreadable("an entry is not an object");
  auto id = text_member(from, "entryId");
  auto content_type = text_member(from, "contentType");
  if (!id || !content_type) return unreadable("'entryId' or 'contentType' of an entry is not a string");
  to.id = *std::move(id);
  to.content_type = *std::move(content_type);

  const JsonValue* const metadata = from.find_ignoring_case("metadata");
  if (metadata != nullptr && !metadata->is_null()) {
    if (!metadata->is_object()) return unreadable("'metadata' of an entry is not an object");
    for (const auto& [name, value] : metadata->members) {
      if (!value.is_string()) return unreadable(fmt::format("metadata '{}' of an entry is not a string", name));
      to.metadata[name] = value.text;
    }
    to.metadata.insert(common.begin(), common.end());  // the entry's own win
  }

  static const JsonValue kNull;
  const JsonValue* const event = from.find_ignoring_case("event");
  auto bytes = bytes_of(event == nullptr ? kNull : *event, to.content_type);
  if (!bytes) {
    return {PublishFailure::kEntriesEvent,
            fmt::format("the event of entry '{}' does not fit its content type '{}'", to.id, to.content_type)};
  }
  to.data = *std::move(bytes);
  return {};
}

PublishResult read_entries(std::string_view body, const MessageMetadata& common, std::vector<BulkEntry>& entries) {
  const auto list = parse_json(body);
  if (!list) return unreadable(list.error().message);
  if (list->is_null()) return {};
  if (!list->is_array()) return unreadable("the body is not an array");
  for (const JsonValue& one : list->items) {
    PublishResult wrong = read_entry(one, common, entries.emplace_back());
    if (wrong.failure != PublishFailure::kNone) return wrong;
  }
  return {};
}

/// A longer list of failed entries stands in the body alone: headers have a limit.
constexpr std::size_t kLongestHeader = 4096;

std::string header_text(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

}  // namespace

BulkPublish decode_bulk_publish(const sdk::Request& request) {
  BulkPublish bulk;
  bulk.common = decode_publish(request);
  bulk.unreadable = read_entries(request.body(), bulk.common.metadata, bulk.entries);
  return bulk;
}

sdk::Response encode(const Publish& request, const BulkPublishResult& result) {
  if (result.failed.empty() || result.whole.failure != PublishFailure::kBroker) return encode(request, result.whole);
  JsonWriter json(HtmlEscape::kYes);
  json.begin_object().key("failedEntries").begin_array();
  for (const FailedEntry& one : result.failed) {
    json.begin_object().key("entryId").value(one.id);
    if (!one.error.empty()) json.key("error").value(one.error);
    json.end_object();
  }
  json.end_array().key("errorCode").value("ERR_PUBSUB_PUBLISH_MESSAGE").end_object();
  sdk::Response response = sdk::json_response(json.take());
  response.status = 500;
  std::string error = describe(request, result.whole).error.message;
  if (error.size() <= kLongestHeader) response.headers.emplace_back("metadata.error", header_text(std::move(error)));
  if (response.body.size() <= kLongestHeader) {
    response.headers.emplace_back("metadata.responseData", response.body.to_string());
  }
  return response;
}

}  // namespace caisson::pubsub::dapr_http
