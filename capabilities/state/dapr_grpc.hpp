#pragma once

#include <string>

#include "capabilities/state/service.hpp"
#include "sdk/capability.hpp"
#include "sdk/counters.hpp"

namespace caisson::state {

/// The state methods of the Dapr gRPC API: messages on one side, operations of the service on the other.
/// One thread; lives as long as the Definition it filled in.
class DaprGrpc {
 public:
  DaprGrpc(Service& service, sdk::Counters& counters) : service_(service), counters_(counters) {}

  void define(sdk::Definition& definition);

 private:
  using Serve = Task<sdk::Response> (DaprGrpc::*)(sdk::Request&);
  void route(sdk::Definition& definition, Route route, std::string operation, Serve serve);
  Task<sdk::Response> counted(sdk::Request& request, const std::string& operation, Serve serve);

  Task<sdk::Response> get(sdk::Request& request);
  Task<sdk::Response> get_many(sdk::Request& request);
  Task<sdk::Response> save(sdk::Request& request);
  Task<sdk::Response> remove(sdk::Request& request);
  Task<sdk::Response> remove_many(sdk::Request& request);
  Task<sdk::Response> transact(sdk::Request& request);
  Task<sdk::Response> query(sdk::Request& request);

  Service& service_;
  sdk::Counters& counters_;
};

}  // namespace caisson::state
