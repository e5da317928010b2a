#pragma once

#include "bus/manifest.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/request.hpp"

/// Publish as Dapr's HTTP API has it; bytes to operations and back, no I/O.
namespace caisson::pubsub::dapr_http {

/// POST or PUT /v1.0/publish/{pubsub}/{topic...}
Route publish_route();
/// The same with nothing behind the component, or nothing at all: their own answers, not an
/// unknown route's.
Route publish_without_topic_route();
Route publish_without_pubsub_route();

Publish decode_publish(const sdk::Request& request);
sdk::Response encode(const Publish& request, const PublishResult& result);

/// POST or PUT /v1.0/publish/bulk/{pubsub}/{topic...}, and as it was first called.
Route bulk_publish_route();
Route bulk_publish_alpha_route();

/// A JSON array of {"entryId","event","contentType","metadata"?}. The query's metadata counts for the
/// entries that have any of their own, and not for the others.
BulkPublish decode_bulk_publish(const sdk::Request& request);
sdk::Response encode(const Publish& request, const BulkPublishResult& result);

}  // namespace caisson::pubsub::dapr_http
