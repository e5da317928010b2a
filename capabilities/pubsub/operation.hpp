#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// One message of a bulk publish.
struct BulkEntry {
  /// Names the entry in the answer; must be there, and once only.
  std::string id;
  std::string content_type;
  std::string data;
  /// The request's metadata is part of it already, as far as the API says.
  MessageMetadata metadata;
};

/// Why a publish was refused; each API has a table from it to its own codes.
enum class PublishFailure : unsigned char {
  kNone,
  kNotConfigured,  // the app has no pubsub component at all
  kPubsubEmpty,
  kNotFound,
  kTopicEmpty,
  kMetadata,      // rawPayload is no boolean
  kCloudEvent,    // no CloudEvent can be made of the data
  kEntriesText,   // bulk: the body cannot be read
  kEntriesEvent,  // bulk: an entry's event does not fit its content type
  kEntriesId,     // bulk: an entry has no id, or another's
  kForbidden,     // topic scoping
  kBroker,        // the broker refused or cannot be reached, or the component is not ready
};

struct PublishResult {
  PublishFailure failure = PublishFailure::kNone;
  /// What went wrong, in words; for a person.
  std::string reason;
};

/// Several messages for one topic, begun in their order; the whole is not atomic.
struct BulkPublish {
  /// What all entries have in common; its data and content type are not used.
  Publish common;
  std::vector<BulkEntry> entries;
  /// What the codec could not read of them; counts only once component and topic are known.
  PublishResult unreadable;
};

/// Why an entry of a bulk publish was not published.
struct FailedEntry {
  std::string id;
  std::string error;
};

struct BulkPublishResult {
  /// kBroker: some entries, or all, were not published; `failed` names them.
  PublishResult whole;
  std::vector<FailedEntry> failed;
};

}  // namespace caisson::pubsub
