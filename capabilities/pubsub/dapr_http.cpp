#include "capabilities/pubsub/dapr_http.hpp"

#include <fmt/format.h>

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

sdk::ApiError describe(const Publish& request, const PublishResult& result) {
  const std::string& pubsub = request.pubsub;
  switch (result.failure) {
    case PublishFailure::kNotConfigured:
      return {.status = 400, .code = "ERR_PUBSUB_NOT_CONFIGURED", .message = "pubsub is not configured",
              .reason = "DAPR_PUBSUB_NOT_CONFIGURED"};
    case PublishFailure::kPubsubEmpty:
      return {.status = 404, .code = "ERR_PUBSUB_EMPTY", .message = "pubsub name is empty",
              .reason = "DAPR_PUBSUB_NAME_EMPTY"};
    case PublishFailure::kNotFound:
      return {.status = 404, .code = "ERR_PUBSUB_NOT_FOUND", .message = fmt::format("pubsub {} not found", pubsub),
              .reason = "DAPR_PUBSUB_NOT_FOUND"};
    case PublishFailure::kTopicEmpty:
      return {.status = 404, .code = "ERR_TOPIC_NAME_EMPTY", .message = fmt::format("topic is empty in pubsub {}", pubsub),
              .reason = "DAPR_PUBSUB_TOPIC_NAME_EMPTY"};
    case PublishFailure::kMetadata:
      return {.status = 400, .code = "ERR_PUBSUB_REQUEST_METADATA",
              .message = fmt::format("failed deserializing metadata. Error: {}", result.reason),
              .reason = "DAPR_PUBSUB_METADATA_DESERIALIZATION"};
    case PublishFailure::kCloudEvent:
      return {.status = 500, .code = "ERR_PUBSUB_CLOUD_EVENTS_SER", .message = "cannot create cloudevent: " + result.reason,
              .reason = "DAPR_PUBSUB_CLOUD_EVENT_CREATION"};
    case PublishFailure::kForbidden:
      return {.status = 403, .code = "ERR_PUBSUB_FORBIDDEN", .message = result.reason, .reason = "DAPR_PUBSUB_FORBIDDEN",
              .info = {{"error", result.reason}, {"topic", request.topic}}};
    default:
      return {.status = 500, .code = "ERR_PUBSUB_PUBLISH_MESSAGE",
              .message = fmt::format("error when publishing to topic {} in pubsub {}: {}", request.topic, pubsub, result.reason),
              .reason = "DAPR_PUBSUB_PUBLISH_MESSAGE",
              .info = {{"error", result.reason}, {"topic", request.topic}}};
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
