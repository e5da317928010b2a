#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sdk/component_set.hpp"
#include "sdk/regex.hpp"

namespace caisson::pubsub {

/// The pause before a message that failed is tried again. It is never given up.
struct KafkaBackoff {
  bool exponential = false;
  Nanos constant = std::chrono::seconds(5);
  Nanos first = std::chrono::milliseconds(500);
  Nanos longest = std::chrono::seconds(60);
  double factor = 1.5;

  /// After the `attempt`th failure, from 1.
  [[nodiscard]] Nanos pause_after(std::uint32_t attempt) const;
};

/// A `pubsub.kafka` component as its metadata says: what librdkafka is told, and what is ours to do.
/// The settings hold passwords and keys.
struct KafkaOptions {
  /// Names and values as librdkafka calls them, each with the metadata key that it comes from.
  struct Setting {
    std::string name;
    std::string value;
    std::string origin;
  };
  using Settings = std::vector<Setting>;

  std::string component;
  Settings client;  // of producers and consumers alike
  Settings producer;
  Settings consumer;

  /// Instead of the group that a subscription asks for; empty: as it asks.
  std::string group;
  /// Where a group that is new to a topic begins.
  bool from_oldest = false;
  bool escape_headers = false;
  std::optional<sdk::Regex> excluded_headers;

  /// Strictly one after the other within a partition, also over retries.
  bool in_order = true;
  /// Handlers of one subscription that run at once when the order does not count.
  std::size_t concurrency = 1;
  /// Messages of one partition in memory that no handler has finished.
  std::size_t window = 2000;
  KafkaBackoff backoff;
  Nanos publish_timeout = std::chrono::seconds(30);

  /// Metadata keys that were given and change nothing here.
  std::vector<std::string> without_effect;

  /// kInvalidArgument or kUnimplemented name the metadata key, and never a value of a secret one.
  static Result<KafkaOptions> parse(const sdk::ComponentSpec& spec);
};

}  // namespace caisson::pubsub
