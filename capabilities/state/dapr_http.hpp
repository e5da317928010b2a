#pragma once

#include <list>
#include <string>

#include "capabilities/state/operation_counter.hpp"
#include "capabilities/state/service.hpp"
#include "sdk/capability.hpp"
#include "sdk/counters.hpp"

namespace caisson::state {

/// The state routes of the Dapr HTTP API: paths, JSON and headers on one side, operations of the
/// service on the other. One thread; lives as long as the Definition it filled in.
class DaprHttp {
 public:
  DaprHttp(Service& service, sdk::Counters& counters) : service_(service), counters_(counters) {}

  void define(sdk::Definition& definition);

 private:
  /// Answers a request for a store that is there. Both outlive the task.
  using Operation = Task<sdk::Response> (DaprHttp::*)(const sdk::Request&, const Selected&);
  void route(sdk::Definition& definition, Route route, std::string name, Operation operation);
  Task<sdk::Response> serve(const sdk::Request& request, OperationCounter& counter, Operation operation);

  Task<sdk::Response> get(const sdk::Request& request, const Selected& selected);
  Task<sdk::Response> set(const sdk::Request& request, const Selected& selected);
  Task<sdk::Response> remove(const sdk::Request& request, const Selected& selected);
  Task<sdk::Response> get_many(const sdk::Request& request, const Selected& selected);
  Task<sdk::Response> transact(const sdk::Request& request, const Selected& selected);
  Task<sdk::Response> query(const sdk::Request& request, const Selected& selected);

  Service& service_;
  sdk::Counters& counters_;
  std::list<OperationCounter> operations_;
};

}  // namespace caisson::state
