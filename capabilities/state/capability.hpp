#pragma once

#include <memory>

#include "capabilities/state/dapr_grpc.hpp"
#include "capabilities/state/dapr_http.hpp"
#include "capabilities/state/service.hpp"
#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"

namespace caisson::state {

/// The state capability: its components, the service over them, and the APIs in front of it.
class StateCapability final : public sdk::Capability {
 public:
  explicit StateCapability(sdk::Context& context);

  void define(sdk::Definition& definition) override {
    dapr_http_.define(definition);
    dapr_grpc_.define(definition);
  }
  void configure(std::shared_ptr<const config::Generation> generation) override { components_.configure(*generation); }
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override { return components_.status(); }

 private:
  sdk::ComponentSet components_;
  Service service_;
  DaprHttp dapr_http_;
  DaprGrpc dapr_grpc_;
};

std::unique_ptr<sdk::Capability> make_state(sdk::Context& context);

}  // namespace caisson::state
