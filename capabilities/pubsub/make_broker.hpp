#pragma once

#include <functional>
#include <memory>
#include <string>

#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/component_set.hpp"

namespace caisson::pubsub {

using MakeBroker =
    std::function<Task<Result<std::shared_ptr<Broker>>>(sdk::Context&, const sdk::ComponentSpec&, WallClock, Deadline)>;

/// A component type that a program serves beside those that all pubsub programs do; any number of
/// processes may have its storage open.
struct BrokerType {
  std::string type;  // pubsub.…
  MakeBroker make;
};

/// True for types whose storage one process at a time may have open.
bool is_exclusive(const config::Component& component);

/// Component type to backend. kInvalidArgument: an unknown type or bad metadata, named.
Task<Result<std::shared_ptr<Broker>>> make_broker(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                  WallClock wall_clock, Deadline deadline);

}  // namespace caisson::pubsub
