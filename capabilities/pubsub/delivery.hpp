#pragma once

#include <memory>
#include <string>

#include "bus/log.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/cloud_event.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/routing.hpp"
#include "sdk/capability.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::pubsub {

/// One subscription of one app, ready to be delivered to. Immutable.
struct DeliveryTarget {
  std::string app;
  config::Subscription subscription;
  Router router;
  bool raw = false;
  std::shared_ptr<PubsubComponent> component;

  DeliveryTarget(std::string app_id, config::Subscription document, std::shared_ptr<PubsubComponent> of);
};

/// How one attempt to hand a message to the app ended.
struct Attempt {
  enum class Kind : std::uint8_t {
    kSuccess,
    kDrop,    // the app does not want it: DROP, 404
    kFailed,  // RETRY, an error, no answer in time
    kBroken,  // the connection broke after the message was sent
    kAway,    // the app could not be asked; nothing was sent
    kHeld,    // the circuit breaker is open; the app was not asked
  };
  Kind kind = Kind::kSuccess;
  std::uint16_t status = 0;  // the app's HTTP status; 0: it gave none
  std::string reason;
};

/// Hands messages to apps and decides what becomes of them:
///
///   success                       acknowledged
///   dropped, expired              to the dead-letter topic if there is one, then acknowledged
///   failed, policy exhausted      to the dead-letter topic if there is one, then acknowledged;
///                                 else pending, again after the redelivery interval
///   breaker open                  pending, again after the redelivery interval
///   app away                      pending, again soon; never counted, never dead-lettered
///   connection broken             as app away for the first kBrokenLimit attempts of a message (the
///                                 app may have died of something else), then as failed
///
/// One thread. Must outlive its deliveries.
class Deliverer {
 public:
  static constexpr std::uint32_t kBrokenLimit = 3;

  Deliverer(sdk::Context& context, sdk::Resiliency& resiliency, WallClock wall_clock);

  Task<Verdict> deliver(std::shared_ptr<const DeliveryTarget> target, Delivery delivery);

 private:
  struct Event;
  /// The one place where an attempt becomes several: the component's inbound policy.
  Task<Attempt> deliver_with_policy(const DeliveryTarget& target, const Event& event);
  Task<Result<Attempt>> call_app(const DeliveryTarget& target, const Event& event, Deadline deadline);
  Task<Attempt> attempt_of(Result<Reply> reply, Deadline deadline);
  /// `otherwise` unless the dead-letter topic takes the message.
  Task<Verdict> dead_letter(const DeliveryTarget& target, Delivery& delivery, Verdict otherwise, std::string reason);
  Task<Verdict> settle(const DeliveryTarget& target, Delivery& delivery, Attempt outcome);

  sdk::Context& context_;
  sdk::Resiliency& resiliency_;
  WallClock wall_clock_;
  LogLimit log_limit_;
};

/// What the app's answer to a delivered event means.
Attempt read_app_answer(std::uint16_t status, std::string_view body);

/// A child span of a W3C traceparent; empty when it is none.
std::string child_traceparent(std::string_view parent);

}  // namespace caisson::pubsub
