#pragma once

#include <memory>
#include <string_view>

#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"

namespace caisson::lock {

/// Opens the store that a component asks for; gives a LockComponent. kInvalidArgument for an unknown type
/// or version.
Task<Result<std::shared_ptr<sdk::Component>>> make_store(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                         Deadline deadline);

/// True for types that only one process may have open.
bool is_exclusive(const config::Component& component);

}  // namespace caisson::lock
