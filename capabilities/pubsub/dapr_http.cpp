#include "capabilities/pubsub/dapr_http.hpp"

#include <fmt/format.h>

#include <utility>

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

sdk::ApiError error_of(std::uint16_t status, std::string_view code, std::string message, std::string_view reason) {
  sdk::ApiError error;
  error.status = status;
  error.code = code;
  error.message = std::move(message);
  error.reason = fmt::format("DAPR_PUBSUB_{}", reason);
  return error;
}

sdk::ApiError describe(const Publish& request, const PublishResult& result) {
  const std::string& pubsub = request.pubsub;
  switch (result.failure) {
    case PublishFailure::kNotConfigured:
      return error_of(400, "ERR_PUBSUB_NOT_CONFIGURED", "pubsub is not configured", "NOT_CONFIGURED");
    case PublishFailure::kPubsubEmpty:
      return error_of(404, "ERR_PUBSUB_EMPTY", "pubsub name is empty", "NAME_EMPTY");
    case PublishFailure::kNotFound:
      return error_of(404, "ERR_PUBSUB_NOT_FOUND", fmt::format("pubsub {} not found", pubsub), "NOT_FOUND");
    case PublishFailure::kTopicEmpty:
      return error_of(404, "ERR_TOPIC_NAME_EMPTY", fmt::format("topic is empty in pubsub {}", pubsub),
                      "TOPIC_NAME_EMPTY");
    case PublishFailure::kMetadata:
      return error_of(400, "ERR_PUBSUB_REQUEST_METADATA",
                      fmt::format("failed deserializing metadata. Error: {}", result.reason),
                      "METADATA_DESERIALIZATION");
    case PublishFailure::kCloudEvent:
      return error_of(500, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent: " + result.reason,
                      "CLOUD_EVENT_CREATION");
    case PublishFailure::kForbidden: {
      sdk::ApiError error = error_of(403, "ERR_PUBSUB_FORBIDDEN", result.reason, "FORBIDDEN");
      error.info = {{"error", result.reason}, {"topic", request.topic}};
      return error;
    }
    default: {
      sdk::ApiError error = error_of(
          500, "ERR_PUBSUB_PUBLISH_MESSAGE",
          fmt::format("error when publishing to topic {} in pubsub {}: {}", request.topic, pubsub, result.reason),
          "PUBLISH_MESSAGE");
      error.info = {{"error", result.reason}, {"topic", request.topic}};
      return error;
    }
  }
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
  sdk::ApiError error = describe(request, result);
  if (!request.pubsub.empty()) {
    error.resource_type = "pubsub";
    error.resource_name = request.pubsub;
  }
  return sdk::error_response(error);
}

}  // namespace caisson::pubsub::dapr_http
