#include "capabilities/state/dapr_grpc.hpp"

#include <fmt/format.h>

#include "capabilities/state/dapr_errors.hpp"
#include "capabilities/state/dapr_messages.hpp"
#include "google/protobuf/empty.pb.h"
#include "sdk/rpc.hpp"

namespace caisson::state {

namespace {

using sdk::Request;
using sdk::Response;

Response refuse(sdk::ApiError error) { return sdk::rpc_response(sdk::rpc_status_with_reason(std::move(error))); }

/// An error of which Dapr tells no more than the text.
Response plain(const Error& error) { return sdk::rpc_response(sdk::RpcStatus{error.code, error.message, {}}); }

Response done() { return sdk::rpc_response(google::protobuf::Empty()); }

sdk::ApiError empty_key() {
  sdk::ApiError error;
  error.rpc = Errc::kInvalidArgument;
  error.code = "ERR_STATE_SAVE";
  error.message = "state key cannot be empty";
  return error;
}

enum class Effect : std::uint8_t { kNone, kOnce };

Route route_of(std::string_view method, Effect effect) {
  Route route = sdk::dapr_rpc(method, "state", "v1");
  route.selector = "1";  // store_name
  route.safe = effect == Effect::kNone;
  route.ledgered = effect == Effect::kOnce;
  return route;
}

OperationCounter::End end_of(std::uint16_t status) {
  switch (static_cast<Errc>(status)) {
    case Errc::kOk:
      return OperationCounter::End::kOk;
    case Errc::kInvalidArgument:
    case Errc::kAborted:
    case Errc::kUnimplemented:
      return OperationCounter::End::kRefused;
    default:
      return OperationCounter::End::kFailed;
  }
}

const std::string& store_of(const auto& message) { return message.store_name(); }
const std::string& store_of(const rpc::ExecuteStateTransactionRequest& message) { return message.storename(); }

}  // namespace

void DaprGrpc::define(sdk::Definition& definition) {
  Route get_one = route_of("GetState", Effect::kNone);
  get_one.key = "2";
  route(definition, std::move(get_one), "get", &DaprGrpc::get);
  route(definition, route_of("GetBulkState", Effect::kNone), "bulk_get", &DaprGrpc::get_many);
  route(definition, route_of("SaveState", Effect::kOnce), "set", &DaprGrpc::save);
  Route remove_one = route_of("DeleteState", Effect::kOnce);
  remove_one.key = "2";
  route(definition, std::move(remove_one), "delete", &DaprGrpc::remove);
  route(definition, route_of("DeleteBulkState", Effect::kOnce), "bulk_delete", &DaprGrpc::remove_many);
  route(definition, route_of("ExecuteStateTransaction", Effect::kOnce), "transaction", &DaprGrpc::transact);
  Route search = route_of("QueryStateAlpha1", Effect::kNone);
  search.version = "v1alpha1";
  route(definition, std::move(search), "query", &DaprGrpc::query);
}

template <class Message>
void DaprGrpc::route(sdk::Definition& definition, Route route, std::string name, Operation<Message> operation) {
  OperationCounter& counter = operations_.emplace_back(counters_, std::move(name));
  definition.route(std::move(route),
                   [this, &counter, operation](Request& request) { return serve(request, counter, operation); });
}

template <class Message>
Task<Response> DaprGrpc::serve(const Request& request, OperationCounter& counter, Operation<Message> operation) {
  auto answering = answer(request, operation);
  Response response = co_await std::move(answering);
  counter.add(end_of(response.status));
  co_return response;
}

/// What all operations have in common: the message is read, and its store looked up.
template <class Message>
Task<Response> DaprGrpc::answer(const Request& request, Operation<Message> operation) {
  Message message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) co_return plain(read.error());
  Result<Selected> selected = service_.find(store_of(message), request.app());
  if (!selected && selected.error().code == Errc::kUnavailable) {
    auto selecting = service_.select(store_of(message), std::string(request.app()), request.deadline());
    selected = co_await std::move(selecting);
  }
  if (!selected) co_return refuse(dapr_errors::no_store(selected.error(), request.app()));
  auto serving = (this->*operation)(request, message, *selected);
  co_return co_await std::move(serving);
}

Task<Response> DaprGrpc::get(const Request& request, rpc::GetStateRequest& message, const Selected& selected) {
  const Get get = get_of(std::move(message));
  const std::string& key = get.key;
  if (const auto checked = Service::check_key(key); !checked) {
    co_return refuse(dapr_errors::illegal_key(selected, key, checked.error()));
  }
  auto getting = service_.get(selected, get, request.deadline());
  Found found = co_await std::move(getting);
  if (!found) co_return refuse(dapr_errors::not_read(selected, key, found.error().message));
  if (!*found) co_return sdk::rpc_response(rpc::GetStateResponse());
  if (const std::size_t size = (*found)->value.size(); size > kMostValueBytes) {
    co_return refuse(dapr_errors::not_read(selected, key, fmt::format("the value is {} bytes long", size)));
  }
  co_return sdk::rpc_response(message_of(**std::move(found)));
}

Task<Response> DaprGrpc::get_many(const Request& request, rpc::GetBulkStateRequest& message, const Selected& selected) {
  const std::vector<std::string> keys(message.keys().begin(), message.keys().end());
  for (const std::string& key : keys) {
    if (const auto checked = Service::check_key(key); !checked) {
      co_return refuse(dapr_errors::illegal_key(selected, key, checked.error()));
    }
  }
  auto getting = service_.get_many(selected, keys, kMostValueBytes, request.deadline());
  auto found = co_await std::move(getting);
  if (!found) co_return plain({Errc::kUnknown, found.error().message});
  co_return sdk::rpc_response(message_of(keys, *std::move(found)));
}

Task<Response> DaprGrpc::save(const Request& request, rpc::SaveStateRequest& message, const Selected& selected) {
  if (message.states().empty()) co_return done();

  Changes changes{request.id(), false, {}};
  for (auto& item : *message.mutable_states()) {
    if (item.key().empty()) co_return refuse(empty_key());
    if (const auto checked = Service::check_key(item.key()); !checked) {
      co_return refuse(dapr_errors::illegal_key(selected, item.key(), checked.error()));
    }
    auto change = change_of(ChangeKind::kSet, std::move(item), JsonValues::kDecoded);
    if (!change) co_return plain(change.error());
    changes.items.push_back(*std::move(change));
  }
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  if (const auto error = joined_error(results)) co_return refuse(dapr_errors::not_saved(selected, *error));
  co_return done();
}

Task<Response> DaprGrpc::remove(const Request& request, rpc::DeleteStateRequest& message, const Selected& selected) {
  const std::string key = message.key();
  if (const auto checked = Service::check_key(key); !checked) {
    co_return refuse(dapr_errors::illegal_key(selected, key, checked.error()));
  }
  Changes changes{request.id(), false, {}};
  changes.items.push_back(change_of(std::move(message)));
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  if (const auto error = joined_error(results)) co_return refuse(dapr_errors::not_deleted(key, *error));
  co_return done();
}

Task<Response> DaprGrpc::remove_many(const Request& request, rpc::DeleteBulkStateRequest& message,
                                     const Selected& selected) {
  Changes changes{request.id(), false, {}};
  for (auto& item : *message.mutable_states()) {
    if (const auto checked = Service::check_key(item.key()); !checked) {
      co_return refuse(dapr_errors::illegal_key(selected, item.key(), checked.error()));
    }
    auto change = change_of(ChangeKind::kDelete, std::move(item), JsonValues::kAsBytes);
    if (!change) co_return plain(change.error());
    changes.items.push_back(*std::move(change));
  }
  if (changes.items.empty()) co_return done();
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  if (const auto error = joined_error(results)) co_return refuse(dapr_errors::not_deleted(selected, *error));
  co_return done();
}

Task<Response> DaprGrpc::transact(const Request& request, rpc::ExecuteStateTransactionRequest& message,
                                  const Selected& selected) {
  Changes changes{request.id(), true, {}};
  for (auto& operation : *message.mutable_operations()) {
    auto& item = *operation.mutable_request();
    if (const auto checked = Service::check_key(item.key()); !checked) {
      co_return refuse(dapr_errors::illegal_key(selected, item.key(), checked.error()));
    }
    const bool upsert = operation.operationtype() == "upsert";
    if (!upsert && operation.operationtype() != "delete") {
      co_return refuse(dapr_errors::unknown_operation(operation.operationtype()));
    }
    auto change = change_of(upsert ? ChangeKind::kSet : ChangeKind::kDelete, std::move(item), JsonValues::kAsBytes);
    if (!change) co_return plain(change.error());
    changes.items.push_back(*std::move(change));
  }
  if (changes.items.empty()) co_return done();
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  if (const auto error = joined_error(results)) co_return refuse(dapr_errors::not_transacted(*error));
  co_return done();
}

Task<Response> DaprGrpc::query(const Request&, rpc::QueryStateRequest&, const Selected& selected) {
  co_return refuse(dapr_errors::no_queries(selected));
}

}  // namespace caisson::state
