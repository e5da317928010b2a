#include "capabilities/pubsub/publish_error.hpp"

#include <fmt/format.h>

#include <utility>

namespace caisson::pubsub {

namespace {

PublishError make(std::uint16_t status, Errc code, std::string_view name, std::string message,
                  std::string_view reason) {
  PublishError made;
  made.code = code;
  made.error.status = status;
  made.error.code = name;
  made.error.message = std::move(message);
  made.error.reason = fmt::format("DAPR_PUBSUB_{}", reason);
  return made;
}

PublishError with_topic(PublishError made, const Publish& request, const PublishResult& result) {
  made.error.info = {{"error", result.reason}, {"topic", request.topic}};
  return made;
}

PublishError choose(const Publish& request, const PublishResult& result) {
  const std::string& pubsub = request.pubsub;
  constexpr Errc kBad = Errc::kInvalidArgument;
  switch (result.failure) {
    case PublishFailure::kNotConfigured:
      return make(400, Errc::kFailedPrecondition, "ERR_PUBSUB_NOT_CONFIGURED", "pubsub is not configured",
                  "NOT_CONFIGURED");
    case PublishFailure::kPubsubEmpty:
      return make(404, kBad, "ERR_PUBSUB_EMPTY", "pubsub name is empty", "NAME_EMPTY");
    case PublishFailure::kNotFound:
      return make(404, kBad, "ERR_PUBSUB_NOT_FOUND", fmt::format("pubsub {} not found", pubsub), "NOT_FOUND");
    case PublishFailure::kTopicEmpty:
      return make(404, kBad, "ERR_TOPIC_NAME_EMPTY", fmt::format("topic is empty in pubsub {}", pubsub),
                  "TOPIC_NAME_EMPTY");
    case PublishFailure::kMetadata:
      return make(400, kBad, "ERR_PUBSUB_REQUEST_METADATA",
                  fmt::format("failed deserializing metadata. Error: {}", result.reason), "METADATA_DESERIALIZATION");
    case PublishFailure::kCloudEvent:
      return make(500, kBad, "ERR_PUBSUB_CLOUD_EVENTS_SER", "cannot create cloudevent: " + result.reason,
                  "CLOUD_EVENT_CREATION");
    case PublishFailure::kEntriesText:
      return make(400, kBad, "ERR_PUBSUB_EVENTS_SER",
                  fmt::format("error when unmarshaling the request for topic {} in pubsub {}: {}", request.topic,
                              pubsub, result.reason),
                  "UNMARSHAL_EVENTS");
    case PublishFailure::kEntriesEvent:
      return make(400, kBad, "ERR_PUBSUB_EVENTS_SER",
                  fmt::format("error when converting an event for topic {} in pubsub {}: {}", request.topic, pubsub,
                              result.reason),
                  "MARSHAL_ENVELOPE");
    case PublishFailure::kEntriesId:
      return make(400, kBad, "ERR_PUBSUB_EVENTS_SER",
                  fmt::format("error when marshaling events for topic {} in pubsub {}: {}", request.topic, pubsub,
                              result.reason),
                  "MARSHAL_EVENTS");
    case PublishFailure::kForbidden:
      return with_topic(make(403, Errc::kPermissionDenied, "ERR_PUBSUB_FORBIDDEN", result.reason, "FORBIDDEN"), request,
                        result);
    default:
      return with_topic(
          make(500, Errc::kInternal, "ERR_PUBSUB_PUBLISH_MESSAGE",
               fmt::format("error when publishing to topic {} in pubsub {}: {}", request.topic, pubsub, result.reason),
               "PUBLISH_MESSAGE"),
          request, result);
  }
}

}  // namespace

PublishError describe(const Publish& request, const PublishResult& result) {
  PublishError made = choose(request, result);
  if (!request.pubsub.empty()) {
    made.error.resource_type = "pubsub";
    made.error.resource_name = request.pubsub;
  }
  return made;
}

}  // namespace caisson::pubsub
