#include "capabilities/lock/capability.hpp"

namespace caisson::lock {

LockCapability::LockCapability(sdk::Context& context)
    : service_(context), dapr_http_(service_, context.counters()), dapr_grpc_(service_, context.counters()) {}

void LockCapability::define(sdk::Definition& definition) {
  definition.manifest().calls = {"secrets.resolve"};  // for secretKeyRef
  dapr_http_.define(definition);
  dapr_grpc_.define(definition);
}

std::unique_ptr<sdk::Capability> make_lock(sdk::Context& context) { return std::make_unique<LockCapability>(context); }

}  // namespace caisson::lock
