#pragma once

#include "capabilities/lock/service.hpp"
#include "sdk/capability.hpp"
#include "sdk/counters.hpp"

namespace caisson::lock {

/// The lock methods of the Dapr gRPC API: messages of lock.proto on one side, operations of the service on
/// the other. One thread; lives as long as the Definition it filled in.
class DaprGrpc {
 public:
  DaprGrpc(Service& service, sdk::Counters& counters) : service_(service), counters_(counters) {}

  void define(sdk::Definition& definition);

 private:
  Task<sdk::Response> try_lock(sdk::Request& request);
  Task<sdk::Response> unlock(sdk::Request& request);

  Service& service_;
  sdk::Counters& counters_;
};

}  // namespace caisson::lock
