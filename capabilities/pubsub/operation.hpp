#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "bus/deadline.hpp"
#include "bus/wire.hpp"

/// What publish/subscribe can do, whatever API asked.
namespace caisson::pubsub {

/// The time of day, which tests set.
using WallClock = std::function<std::chrono::system_clock::time_point()>;

using MessageMetadata = std::map<std::string, std::string>;

/// What lies at a broker: bytes that it does not look into, and names with values beside them.
struct Message {
  std::string data;
  MessageMetadata metadata;
};

/// One publish as an app asked for it. The views live as long as the request.
struct Publish {
  std::string app;
  std::string pubsub;
  std::string topic;
  std::string_view content_type;
  std::string_view data;
  MessageMetadata metadata;
  std::string_view traceparent;
  std::string_view tracestate;
  RequestId request;
  Deadline deadline = Deadline::never();
};

/// Why a publish was refused; each API has a table from it to its own codes.
enum class PublishFailure : unsigned char {
  kNone,
  kNotConfigured,  // the app has no pubsub component at all
  kPubsubEmpty,
  kNotFound,
  kTopicEmpty,
  kMetadata,    // rawPayload is no boolean
  kCloudEvent,  // no CloudEvent can be made of the data
  kForbidden,   // topic scoping
  kBroker,      // the broker refused or cannot be reached, or the component is not ready
};

struct PublishResult {
  PublishFailure failure = PublishFailure::kNone;
  /// What went wrong, in words; for a person.
  std::string reason;
};

}  // namespace caisson::pubsub
