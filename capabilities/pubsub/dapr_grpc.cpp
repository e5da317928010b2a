#include "capabilities/pubsub/dapr_grpc.hpp"

#include "capabilities/pubsub/cloud_event.hpp"
#include "capabilities/pubsub/publish_error.hpp"
#include "sdk/rpc.hpp"

namespace caisson::pubsub::dapr_grpc {

namespace {

namespace rt = dapr::proto::runtime::v1;

Route route_of(std::string_view method, std::string version) {
  Route route = sdk::dapr_rpc(method, "publish", std::move(version));
  route.selector = "1";  // pubsub_name
  return route;
}

/// What both kinds of publish have in common.
template <class Message>
Publish common_of(const sdk::Request& request, const Message& message) {
  Publish publish;
  publish.app = request.app();
  publish.pubsub = message.pubsub_name();
  publish.topic = message.topic();
  publish.metadata.insert(message.metadata().begin(), message.metadata().end());
  publish.traceparent = request.traceparent();
  publish.tracestate = request.tracestate();
  publish.request = request.id();
  publish.deadline = request.deadline();
  return publish;
}

}  // namespace

Route publish_route() { return route_of("PublishEvent", "v1"); }
Route bulk_publish_route() { return route_of("BulkPublishEvent", "v1"); }
Route bulk_publish_alpha_route() { return route_of("BulkPublishEventAlpha1", "v1alpha1"); }

Result<rt::PublishEventRequest> read_publish(const sdk::Request& request) {
  rt::PublishEventRequest message;
  TRY(sdk::parse_message(request.body(), message));
  return message;
}

Publish decode(const sdk::Request& request, const rt::PublishEventRequest& message) {
  Publish publish = common_of(request, message);
  publish.content_type = message.data_content_type();
  publish.data = message.data();
  // There is no event that could carry the trace context of raw data.
  const std::string* const raw = find_metadata(publish.metadata, "rawPayload");
  if (raw != nullptr && parse_strict_bool(*raw).value_or(false)) {
    publish.metadata["traceid"] = publish.traceparent;
    publish.metadata["tracestate"] = publish.tracestate;
  }
  return publish;
}

Result<BulkPublish> decode_bulk_publish(const sdk::Request& request) {
  rt::BulkPublishRequest message;
  TRY(sdk::parse_message(request.body(), message));
  BulkPublish bulk;
  bulk.common = common_of(request, message);
  for (rt::BulkPublishRequestEntry& from : *message.mutable_entries()) {
    BulkEntry& to = bulk.entries.emplace_back();
    to.id = from.entry_id();
    to.content_type = from.content_type();
    to.data = std::move(*from.mutable_event());
    to.metadata.insert(from.metadata().begin(), from.metadata().end());
    to.metadata.insert(bulk.common.metadata.begin(), bulk.common.metadata.end());
  }
  return bulk;
}

sdk::Response encode(const Error& unreadable) {
  return sdk::rpc_response(sdk::RpcStatus{unreadable.code, unreadable.message, {}});
}

sdk::Response encode(const Publish& request, const PublishResult& result) {
  if (result.failure == PublishFailure::kNone) return sdk::rpc_response(std::string());
  const PublishError error = describe(request, result);
  return sdk::rpc_response(sdk::rpc_status(error.code, error.error));
}

sdk::Response encode(const Publish& request, const BulkPublishResult& result) { return encode(request, result.whole); }

}  // namespace caisson::pubsub::dapr_grpc
