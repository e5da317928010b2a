#pragma once

#include <memory>

#include "sdk/capability.hpp"

namespace caisson::invoke {

/// The invoke capability, for a process of its own or together with others.
std::unique_ptr<sdk::Capability> make_capability(sdk::Context& context);

}  // namespace caisson::invoke
