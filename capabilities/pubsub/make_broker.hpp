#pragma once

#include <memory>

#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/component_set.hpp"

namespace caisson::pubsub {

/// True for types whose storage one process at a time may have open.
bool is_exclusive(std::string_view type);

/// Component type to backend. kInvalidArgument: an unknown type or bad metadata, named.
Task<Result<std::shared_ptr<Broker>>> make_broker(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                  WallClock wall_clock, Deadline deadline);

}  // namespace caisson::pubsub
