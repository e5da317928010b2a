#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capabilities/pubsub/event.hpp"
#include "capabilities/pubsub/receiver.hpp"
#include "config-cache/documents.hpp"
#include "dapr/proto/runtime/v1/appcallback.pb.h"

/// Events in protobuf, as Dapr's gRPC apps and streams get them; messages to events and back, no I/O.
namespace caisson::pubsub {

/// An event with its data decoded: `data_base64`; text of text types and XML; JSON of JSON types. Of any other
/// type with plain `data` there is none, as with Dapr. All attributes that have no field of their own are
/// extensions. kInvalidArgument: the data is not what its type says.
Result<dapr::proto::runtime::v1::TopicEventRequest> to_topic_event(const Event& event,
                                                                   const config::Subscription& subscription);

/// What TopicEventResponse says.
Attempt attempt_of(dapr::proto::runtime::v1::TopicEventResponse::TopicEventResponseStatus status);
/// What an answer of OnTopicEvent means: gRPC's code and the message.
Attempt read_topic_event_answer(std::uint16_t code, std::string_view message);

struct BulkTopicEvent {
  dapr::proto::runtime::v1::TopicEventBulkRequest request;
  /// By id: entries that are left out, because their data is not what its type says.
  std::vector<std::pair<std::string, std::string>> unfit;
};
/// Several events in one message. Here data_base64 is decoded as for a single event, which Dapr forgets.
BulkTopicEvent to_bulk_topic_event(const config::Subscription& subscription, const std::vector<const Event*>& events,
                                   const std::vector<std::string>& ids);
/// An entry that the answer does not name has failed.
std::vector<Attempt> read_bulk_topic_event_answer(std::uint16_t code, std::string_view message,
                                                  const std::vector<std::string>& ids);

/// What ListTopicSubscriptions answered. Entries without component or topic are left out.
Result<std::vector<config::Subscription>> parse_topic_subscriptions(std::string_view message);

}  // namespace caisson::pubsub
