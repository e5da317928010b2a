#pragma once

#include "bus/manifest.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "dapr/proto/runtime/v1/pubsub.pb.h"
#include "sdk/request.hpp"

/// Publish as Dapr's gRPC API has it; messages to operations and back, no I/O.
namespace caisson::pubsub::dapr_grpc {

Route publish_route();
Route bulk_publish_route();
Route bulk_publish_alpha_route();

Result<dapr::proto::runtime::v1::PublishEventRequest> read_publish(const sdk::Request& request);
/// The operation's views are the message's.
Publish decode(const sdk::Request& request, const dapr::proto::runtime::v1::PublishEventRequest& message);
/// The request's metadata counts for every entry; an entry's own wins.
Result<BulkPublish> decode_bulk_publish(const sdk::Request& request);

sdk::Response encode(const Error& unreadable);
sdk::Response encode(const Publish& request, const PublishResult& result);
/// A failure of any entry is one of the whole: Dapr names no entries here.
sdk::Response encode(const Publish& request, const BulkPublishResult& result);

}  // namespace caisson::pubsub::dapr_grpc
