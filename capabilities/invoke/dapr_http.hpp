#pragma once

#include "capabilities/invoke/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// The Dapr HTTP API of service invocation: `/v1.0/invoke/…` and everything that no other route
/// takes <-> the service.
class DaprHttp {
 public:
  explicit DaprHttp(InvokeService& service) : service_(service) {}

  void define(sdk::Definition& definition);

 private:
  Task<void> serve(sdk::Request request);

  InvokeService& service_;
};

}  // namespace caisson::invoke
