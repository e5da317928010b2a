#pragma once

#include "sdk/capability.hpp"

namespace caisson::gateway {

/// Answers for the building blocks of Dapr's API that are not here (bindings, actors, workflows, jobs,
/// cryptography, conversation), by name and as Dapr does where one is not configured, so that an app learns
/// what is missing and does not end up in service invocation.
void define_missing_blocks(sdk::Definition& definition);

}  // namespace caisson::gateway
