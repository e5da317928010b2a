#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "bus/wire.hpp"
#include "capabilities/pubsub/json_value.hpp"
#include "capabilities/pubsub/operation.hpp"

/// CloudEvents 1.0 in JSON, as Dapr writes them: members in alphabetical order, `<`, `>` and `&`
/// escaped, numbers as they were sent.
namespace caisson::pubsub {

using WallTime = std::chrono::system_clock::time_point;

struct EventContext {
  std::string_view id;  // of an event that brings none
  std::string_view app;
  std::string_view pubsub;
  std::string_view topic;
  std::string_view content_type;
  std::string_view traceparent;
  std::string_view tracestate;
  WallTime now;
  /// The component drops expired messages by itself, so the event needs no `expiration`.
  bool broker_expires = false;
};

/// The event around `data`; or, when the content type is application/cloudevents+json, the app's own
/// event completed. kInvalidArgument when that is no JSON object.
Result<std::string> wrap(const EventContext& context, std::string_view data, const MessageMetadata& metadata);

/// The event around what a subscriber with `rawPayload` gets.
JsonValue raw_event(const EventContext& context, std::string_view data);

/// The event as text.
std::string to_text(const JsonValue& event);

/// An id that is the same whenever the same request is carried out again, so that a repeated publish
/// can be recognised; random when the request has no identity. `index` tells the events of one request
/// apart. Shaped as a version 4 UUID.
std::string event_id(const RequestId& request, std::uint64_t index = 0);

/// Appends the lowest `digits` hexadecimal digits of a number.
void append_hex(std::string& out, std::uint64_t number, int digits);

/// The media type in lower case, without parameters.
std::string media_type(std::string_view content_type);

/// Seconds precision, UTC.
std::string format_rfc3339(WallTime time);
std::optional<WallTime> parse_rfc3339(std::string_view text);

/// Whether the event's `expiration` lies in the past.
bool has_expired(const JsonValue& event, WallTime now);

/// strconv.ParseBool of Go: 1 t T TRUE true True, 0 f F FALSE false False; anything else: nothing.
std::optional<bool> parse_strict_bool(std::string_view text);

/// The value of a metadata name, compared without regard to case.
const std::string* find_metadata(const MessageMetadata& metadata, std::string_view name);

}  // namespace caisson::pubsub
