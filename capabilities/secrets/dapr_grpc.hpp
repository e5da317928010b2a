#pragma once

#include "capabilities/secrets/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::secrets {

/// The Dapr gRPC API of secrets: messages and status codes <-> the service.
class DaprGrpc {
 public:
  explicit DaprGrpc(SecretService& service) : service_(service) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> get(sdk::Request& request);
  Task<sdk::Response> get_bulk(sdk::Request& request);

  SecretService& service_;
};

}  // namespace caisson::secrets
