#pragma once

#include <memory>
#include <string_view>

#include "capabilities/config/items/store.hpp"
#include "sdk/capability.hpp"

namespace caisson::items {

/// The prefix of all types that are made here.
inline constexpr std::string_view kTypePrefix = "configuration.";

/// The backend of a component's type. kInvalidArgument for a type or metadata there is none for,
/// kUnavailable when it cannot be reached.
Task<Result<std::shared_ptr<sdk::Component>>> make_store(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                         Deadline deadline);

}  // namespace caisson::items
