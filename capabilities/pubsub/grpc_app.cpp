#include "capabilities/pubsub/grpc_app.hpp"

#include <algorithm>
#include <utility>

#include "capabilities/pubsub/app_call.hpp"
#include "capabilities/pubsub/topic_event.hpp"
#include "sdk/base64.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::string_view kOnEvent = "/dapr.proto.runtime.v1.AppCallback/OnTopicEvent";
constexpr std::string_view kOnBulk = "/dapr.proto.runtime.v1.AppCallback/OnBulkTopicEvent";
constexpr std::string_view kOnBulkAlpha = "/dapr.proto.runtime.v1.AppCallbackAlpha/OnBulkTopicEventAlpha1";
const Field kGrpc[] = {{"content-type", "application/grpc"}};

/// Message metadata as gRPC has it: bytes only under names with `-bin`, names of gRPC's own are not ours.
MessageMetadata rpc_metadata(const MessageMetadata& metadata) {
  MessageMetadata headers = metadata_headers(metadata);
  std::erase_if(headers, [](const auto& header) { return header.first.starts_with("grpc-"); });
  for (auto& [name, value] : headers) {
    if (name.ends_with("-bin")) value = sdk::base64_encode(value);
  }
  return headers;
}

Envelope call_of(std::string_view app, std::string_view method) {
  Envelope call;
  call.app = app;
  call.path = method;
  call.headers = kGrpc;
  return call;
}

}  // namespace

Task<Attempt> GrpcApp::take(const Event& event, Deadline deadline) {
  const auto request = to_topic_event(event, subscription_);
  if (!request) co_return Attempt{Attempt::Kind::kFailed, 0, request.error().message};
  Envelope call = call_of(app_, kOnEvent);
  call.traceparent = event.traceparent;
  call.tracestate = event.tracestate;
  MessageMetadata headers = rpc_metadata(event.message->metadata);
  headers.emplace("pubsubname", subscription_.pubsub);
  auto calling = call_app(context_, call, std::move(headers), request->SerializeAsString(), deadline);
  const auto reply = co_await std::move(calling);
  if (!reply) co_return attempt_after(reply.error());
  co_return read_topic_event_answer(reply->status, reply->body);
}

Task<std::vector<Attempt>> GrpcApp::take_all(std::vector<const Event*> events, Deadline deadline) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < events.size(); ++i) ids.push_back(event_id({}));
  const BulkTopicEvent bulk = to_bulk_topic_event(subscription_, events, ids);
  std::vector<Attempt> attempts(events.size());
  if (bulk.request.entries_size() > 0) {
    auto asking = ask_bulk(bulk.request.SerializeAsString(), deadline);
    const auto reply = co_await std::move(asking);
    if (reply) {
      attempts = read_bulk_topic_event_answer(reply->status, reply->body, ids);
    } else {
      attempts.assign(events.size(), attempt_after(reply.error()));
    }
  }
  for (const auto& [id, why] : bulk.unfit) {
    const auto at = std::ranges::find(ids, id) - ids.begin();
    attempts[static_cast<std::size_t>(at)] = Attempt{Attempt::Kind::kFailed, 0, why};
  }
  co_return attempts;
}

Task<Result<AppReply>> GrpcApp::ask_bulk(std::string body, Deadline deadline) {
  constexpr auto kUnimplemented = static_cast<std::uint16_t>(Errc::kUnimplemented);
  while (true) {
    const bool alpha = bulk_is_alpha_;
    const Envelope call = call_of(app_, alpha ? kOnBulkAlpha : kOnBulk);
    MessageMetadata none;
    auto calling = call_app(context_, call, std::move(none), body, deadline);
    auto reply = co_await std::move(calling);
    if (!reply || reply->status != kUnimplemented || alpha) {
      if (reply && reply->status == kUnimplemented) bulk_is_alpha_ = false;
      co_return reply;
    }
    bulk_is_alpha_ = true;
  }
}

}  // namespace caisson::pubsub
