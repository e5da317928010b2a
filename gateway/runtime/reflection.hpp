#pragma once

#include "sdk/capability.hpp"

namespace caisson::gateway {

/// gRPC server reflection, v1 and v1alpha (whose messages are the same): what the gRPC port serves of Dapr's API,
/// from descriptors that were embedded when this was built.
void define_reflection(sdk::Definition& definition);

}  // namespace caisson::gateway
