#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus/log.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/event.hpp"
#include "capabilities/pubsub/receiver.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::pubsub {

/// Hands messages to their subscribers and decides what becomes of them:
///
///   success, ignored              acknowledged
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

  Deliverer(EventLoop& loop, sdk::Resiliency& resiliency, WallClock wall_clock);

  Task<Verdict> deliver(std::shared_ptr<const DeliveryTarget> target, Delivery delivery);
  /// Several at once, in one call for each path; a verdict for each, in their order. The policy tries those
  /// again that failed.
  Task<std::vector<Verdict>> deliver_all(std::shared_ptr<const DeliveryTarget> target,
                                         std::vector<Delivery> deliveries);

 private:
  struct Batch;
  /// The one place where an attempt becomes several: the component's inbound policy.
  [[nodiscard]] sdk::Policy policy_for(const DeliveryTarget& target);
  Task<Attempt> deliver_with_policy(const DeliveryTarget& target, const Event& event);
  Task<Result<Attempt>> attempt(const DeliveryTarget& target, const Event& event, Deadline deadline);
  Task<void> deliver_with_policy(const DeliveryTarget& target, Batch& batch);
  Task<Result<Attempt>> attempt(const DeliveryTarget& target, Batch& batch, Deadline deadline);
  [[nodiscard]] Deadline until(const DeliveryTarget& target, Deadline deadline) const;

  Task<Verdict> refuse(const DeliveryTarget& target, const Delivery& delivery, Undeliverable why);
  Task<Verdict> settle(const DeliveryTarget& target, const Delivery& delivery, Attempt outcome);
  /// `otherwise` unless the dead-letter topic takes the message.
  Task<Verdict> dead_letter(const DeliveryTarget& target, const Delivery& delivery, Verdict otherwise,
                            std::string reason);

  EventLoop& loop_;
  sdk::Resiliency& resiliency_;
  WallClock wall_clock_;
  LogLimit log_limit_;
};

}  // namespace caisson::pubsub
