#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/redis/command.hpp"
#include "sdk/redis/reply.hpp"

/// What a message looks like in a Redis stream, and what the server answers about it. Pure; the
/// layout is that of Dapr's pubsub.redis, so that daprd and Caisson can share a stream:
///
///   XADD TOPIC * data BYTES metadata {"name":"value",…}
namespace caisson::pubsub {

/// A message's place in its stream: Unix milliseconds of the server and a number within them.
struct StreamId {
  std::uint64_t ms = 0;
  std::uint64_t sequence = 0;

  /// "1690000000000-0"; nothing for any other text.
  static std::optional<StreamId> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  /// The smallest that is greater.
  [[nodiscard]] StreamId next() const;
  auto operator<=>(const StreamId&) const = default;
};

struct StreamEntry {
  StreamId id;
  Message message;
};

/// A message that a consumer was given and that nobody has acknowledged.
struct PendingEntry {
  StreamId id;
  std::string consumer;
  /// Since it was last given to a consumer, or its lease renewed.
  Nanos idle{};
  std::uint32_t deliveries = 1;
};

/// What an XADD cuts off at the old end; "approximately" is the server's word for "when it is cheap".
struct StreamTrim {
  std::int64_t max_length = 0;  // 0: any
  std::int64_t min_ms = 0;      // 0: any age; else Unix milliseconds; counts where max_length is 0
};

redis::Command make_xadd(std::string_view topic, const Message& message, StreamTrim trim);

/// The reply of XREADGROUP on one stream; a nil (nothing came in time) is an empty list. Metadata that
/// is no JSON object of strings is left out, as far as it is none. kInternal for any other shape.
Result<std::vector<StreamEntry>> read_stream_reply(redis::Reply reply);

/// What an XCLAIM of one id gave: the message; or nothing, because it is no longer pending or not idle
/// for long enough; or the news that it was cut off from the stream while it was pending.
struct ClaimReply {
  std::optional<StreamEntry> entry;
  bool deleted = false;  // said by Redis before 7 only; it is still pending and must be acknowledged
};
Result<ClaimReply> read_claim_reply(redis::Reply reply);

/// The reply of the long form of XPENDING.
Result<std::vector<PendingEntry>> read_pending_reply(redis::Reply reply);

}  // namespace caisson::pubsub
