#pragma once

#include <memory>
#include <string>
#include <variant>

#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/component_set.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::pubsub {

/// Carries out publishes: checks names and scopes, makes the event, hands it to the broker under the
/// component's outbound policy. One thread.
class Service {
 public:
  Service(sdk::ComponentSet& components, sdk::Resiliency& resiliency, WallClock wall_clock);

  /// The request's views outlive the task.
  Task<PublishResult> publish(Publish request);

 private:
  /// The component as the app may see it, or why there is none.
  Task<std::variant<std::shared_ptr<PubsubComponent>, PublishResult>> find(const Publish& request);
  /// The bytes for the broker: an event, or the body as it is.
  std::variant<std::string, PublishResult> make_data(const Publish& request, const Broker& broker);
  Task<Result<void>> hand_over(const Publish& request, PubsubComponent& component, Message message);

  sdk::ComponentSet& components_;
  sdk::Resiliency& resiliency_;
  WallClock wall_clock_;
};

}  // namespace caisson::pubsub
