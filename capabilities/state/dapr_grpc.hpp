#pragma once

#include <list>
#include <string>

#include "capabilities/state/dapr_messages.hpp"
#include "capabilities/state/operation_counter.hpp"
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
  /// Answers a request, read as `message`, for a store that is there. All three outlive the task.
  template <class Message>
  using Operation = Task<sdk::Response> (DaprGrpc::*)(const sdk::Request&, Message&, const Selected&);
  template <class Message>
  void route(sdk::Definition& definition, Route route, std::string name, Operation<Message> operation);
  template <class Message>
  Task<sdk::Response> serve(const sdk::Request& request, OperationCounter& counter, Operation<Message> operation);
  template <class Message>
  Task<sdk::Response> answer(const sdk::Request& request, Operation<Message> operation);

  Task<sdk::Response> get(const sdk::Request& request, rpc::GetStateRequest& message, const Selected& selected);
  Task<sdk::Response> get_many(const sdk::Request& request, rpc::GetBulkStateRequest& message,
                               const Selected& selected);
  Task<sdk::Response> save(const sdk::Request& request, rpc::SaveStateRequest& message, const Selected& selected);
  Task<sdk::Response> remove(const sdk::Request& request, rpc::DeleteStateRequest& message, const Selected& selected);
  Task<sdk::Response> remove_many(const sdk::Request& request, rpc::DeleteBulkStateRequest& message,
                                  const Selected& selected);
  Task<sdk::Response> transact(const sdk::Request& request, rpc::ExecuteStateTransactionRequest& message,
                               const Selected& selected);
  Task<sdk::Response> query(const sdk::Request& request, rpc::QueryStateRequest& message, const Selected& selected);

  Service& service_;
  sdk::Counters& counters_;
  std::list<OperationCounter> operations_;
};

}  // namespace caisson::state
