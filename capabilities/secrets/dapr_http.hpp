#pragma once

#include <memory>

#include "capabilities/secrets/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::secrets {

/// The Dapr HTTP API of secrets: paths, JSON and error codes <-> the service.
class DaprHttp {
 public:
  explicit DaprHttp(SecretService& service) : service_(service) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> get(sdk::Request& request);
  Task<sdk::Response> get_bulk(sdk::Request& request);

  SecretService& service_;
};

}  // namespace caisson::secrets
