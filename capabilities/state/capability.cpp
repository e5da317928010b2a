#include "capabilities/state/capability.hpp"

#include "capabilities/state/make_store.hpp"

namespace caisson::state {

namespace {

sdk::ComponentSet::Options component_options() {
  sdk::ComponentSet::Options options;
  options.prefix = "state.";
  options.exclusive = is_exclusive;
  return options;
}

}  // namespace

StateCapability::StateCapability(sdk::Context& context)
    : components_(context, component_options(),
                  [&context](const sdk::ComponentSpec& spec, Deadline deadline) {
                    return make_store(context, spec, deadline);
                  }),
      service_(context.loop(), components_),
      dapr_http_(service_, context.counters()),
      dapr_grpc_(service_, context.counters()) {}

std::unique_ptr<sdk::Capability> make_state(sdk::Context& context) {
  return std::make_unique<StateCapability>(context);
}

}  // namespace caisson::state
