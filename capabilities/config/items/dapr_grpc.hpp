#pragma once

#include "capabilities/config/items/service.hpp"
#include "sdk/capability.hpp"
#include "sdk/rpc.hpp"

namespace caisson::items {

/// The Dapr gRPC API of configuration: messages and status codes <-> the service. A subscription is a stream
/// whose head names it in the header kResumeToken.
class DaprGrpc {
 public:
  explicit DaprGrpc(ItemsService& service, sdk::Context& context) : service_(service), context_(context) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> get(sdk::Request& request);
  Task<void> subscribe(sdk::Request request);
  Task<void> serve_stream(sdk::Request request, std::string id);
  Task<sdk::Response> unsubscribe(sdk::Request& request);

  ItemsService& service_;
  sdk::Context& context_;
};

}  // namespace caisson::items
