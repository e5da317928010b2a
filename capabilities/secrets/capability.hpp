#pragma once

#include <memory>

#include "sdk/capability.hpp"

namespace caisson::secrets {

/// The secrets capability, for a process of its own or together with others.
std::unique_ptr<sdk::Capability> make_capability(sdk::Context& context);

/// Keeps this process's memory out of core dumps and away from other processes of the same user.
/// Call it first in main().
void forbid_dumps();

}  // namespace caisson::secrets
