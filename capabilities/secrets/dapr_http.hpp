#pragma once

#include <memory>

#include "capabilities/secrets/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::secrets {

/// The Dapr HTTP API of secrets: paths, JSON and error codes <-> the service.
class DaprHttp {
 public:
  DaprHttp(SecretService& service, sdk::Context& context) : service_(service), context_(context) {}

  void define(sdk::Definition& definition);
  void start();

 private:
  Task<sdk::Response> get(sdk::Request& request);
  Task<sdk::Response> get_bulk(sdk::Request& request);
  sdk::Response refuse(const Refused& refused, const std::string& store, const std::string& what);

  SecretService& service_;
  sdk::Context& context_;
  sdk::Counter read_;
  sdk::Counter denied_;
  sdk::Counter failed_;
};

}  // namespace caisson::secrets
