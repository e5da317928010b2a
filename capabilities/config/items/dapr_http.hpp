#pragma once

#include "capabilities/config/items/service.hpp"
#include "sdk/capability.hpp"

namespace caisson::items {

/// The Dapr HTTP API of configuration: paths, JSON and error codes <-> the service.
class DaprHttp {
 public:
  explicit DaprHttp(ItemsService& service) : service_(service) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> get(sdk::Request& request);
  Task<sdk::Response> subscribe(sdk::Request& request);
  Task<sdk::Response> unsubscribe(sdk::Request& request);

  ItemsService& service_;
};

}  // namespace caisson::items
