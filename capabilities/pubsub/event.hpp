#pragma once

#include <memory>
#include <string>
#include <variant>

#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/cloud_event.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/routing.hpp"
#include "config-cache/documents.hpp"

namespace caisson::pubsub {

class Receiver;

/// One subscription of one app, ready to be delivered to. Immutable.
struct DeliveryTarget {
  std::string app;
  config::Subscription subscription;
  Router router;
  bool raw = false;
  std::shared_ptr<PubsubComponent> component;
  std::shared_ptr<Receiver> receiver;

  DeliveryTarget(std::string app_id, config::Subscription document, Router routes, std::shared_ptr<PubsubComponent> of,
                 std::shared_ptr<Receiver> to);
};

/// A message as its subscriber will see it. Refers to the message, which outlives it.
struct Event {
  const Message* message = nullptr;
  /// Of the rule that takes it, with its query.
  std::string path;
  /// The CloudEvent; what was published raw stands in one made for it.
  JsonValue attributes;
  /// The message's bytes are no CloudEvent.
  bool opaque = false;
  /// The subscriber asked for bytes as they were published.
  bool raw = false;
  /// A child of the event's own trace context; empty when it has none.
  std::string traceparent;
  std::string tracestate;

  [[nodiscard]] std::string_view id() const { return attributes.text_of("id"); }
};

/// Why a message is not handed over, and what becomes of it unless a dead-letter topic takes it.
struct Undeliverable {
  Verdict otherwise = Verdict::kRetry;
  std::string reason;
  bool expired = false;
};

std::variant<Event, Undeliverable> make_event(const DeliveryTarget& target, const Message& message, WallTime now);

/// A child span of a W3C traceparent; empty when it is none.
std::string child_traceparent(std::string_view parent);

}  // namespace caisson::pubsub
