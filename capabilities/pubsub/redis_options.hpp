#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "sdk/component_set.hpp"
#include "sdk/redis/settings.hpp"

namespace caisson::pubsub {

/// The metadata of a `pubsub.redis` component: Dapr's keys, and one of ours.
struct RedisBrokerOptions {
  std::string component;
  redis::Settings server;

  /// After a failed delivery; zero: not before the subscription begins anew.
  Nanos redeliver_interval = std::chrono::seconds(15);
  /// How long a consumer that renews no leases (daprd) may keep a message; zero: a minute.
  Nanos processing_timeout = std::chrono::seconds(60);
  /// Messages of one topic in memory that wait for a handler.
  std::size_t queue_depth = 100;
  /// Handlers of one subscriber that run at once.
  std::size_t concurrency = 10;
  /// What a publish cuts off at the old end of its stream, settled or not; zero: nothing.
  std::int64_t max_length = 0;
  Nanos stream_ttl{};
  /// daprd's behaviour: a failed message is acknowledged, i.e. lost unless dead-lettered.
  bool acknowledge_on_error = false;

  /// How long a consumer of ours may be silent before the others take what it holds; leases are
  /// renewed three times as often.
  Nanos longest_lease = std::chrono::seconds(6);
  /// Consumers of ours that hold nothing are removed from the group after this silence.
  Nanos consumer_expiry = std::chrono::hours(1);

  [[nodiscard]] Nanos takeover_after() const {
    return processing_timeout > Nanos::zero() ? processing_timeout : Nanos(std::chrono::minutes(1));
  }
  [[nodiscard]] Nanos lease() const { return std::min(longest_lease, takeover_after()); }
  /// How long the server waits for messages before it says that there are none.
  [[nodiscard]] Nanos block() const;

  /// kInvalidArgument names the key.
  static Result<RedisBrokerOptions> parse(const sdk::ComponentSpec& spec);
};

}  // namespace caisson::pubsub
