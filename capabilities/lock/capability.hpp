#pragma once

#include <memory>

#include "capabilities/lock/dapr_grpc.hpp"
#include "capabilities/lock/dapr_http.hpp"
#include "capabilities/lock/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::lock {

/// The lock capability: its components, the service over them, and the APIs in front of it.
class LockCapability final : public sdk::Capability {
 public:
  explicit LockCapability(sdk::Context& context);

  void define(sdk::Definition& definition) override;
  void configure(std::shared_ptr<const config::Generation> generation) override { service_.configure(*generation); }
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override { return service_.status(); }

 private:
  Service service_;
  DaprHttp dapr_http_;
  DaprGrpc dapr_grpc_;
};

std::unique_ptr<sdk::Capability> make_lock(sdk::Context& context);

}  // namespace caisson::lock
