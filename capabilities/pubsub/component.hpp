#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/topic_rules.hpp"
#include "sdk/counters.hpp"

namespace caisson::pubsub {

/// The label of a component's counters.
std::string component_label(const std::string& component);

/// What happened to messages of one component.
struct PubsubCounters {
  PubsubCounters() = default;
  PubsubCounters(sdk::Counters& counters, const std::string& component);

  sdk::Counter published, refused;
  sdk::Counter delivered;     // calls to the app that it answered or failed to
  sdk::Counter acknowledged;  // verdicts of the app: SUCCESS
  sdk::Counter retried;       // left pending
  sdk::Counter dropped;       // DROP, 404, expired
  sdk::Counter dead_lettered;
};

/// A configured pubsub component: a broker with the rules around it.
struct PubsubComponent final : sdk::Component {
  std::string name;
  std::string type;
  std::shared_ptr<Broker> broker;
  TopicRules rules;
  /// The longest that one delivery to the app may take; the message is pending again afterwards.
  Nanos processing_timeout = std::chrono::seconds(60);
  PubsubCounters counters;

  [[nodiscard]] std::vector<std::string> capabilities() const override { return broker->capabilities(); }
  [[nodiscard]] std::string note() const override { return broker->note(); }
  [[nodiscard]] std::optional<std::string> down_reason() const override { return broker->down_reason(); }
};

}  // namespace caisson::pubsub
