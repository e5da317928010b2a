#pragma once

#include "capabilities/invoke/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// InvokeService of Dapr's gRPC API <-> the service.
class DaprGrpc {
 public:
  explicit DaprGrpc(InvokeService& service) : service_(service) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> invoke(sdk::Request& request);

  InvokeService& service_;
};

}  // namespace caisson::invoke
