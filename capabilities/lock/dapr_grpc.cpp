#include "capabilities/lock/dapr_grpc.hpp"

#include "capabilities/lock/codec.hpp"
#include "capabilities/lock/dapr_proto.hpp"
#include "sdk/rpc.hpp"

namespace caisson::lock {

namespace {

Route route_of(std::string group, const std::string& method) {
  Route route;
  route.rpc = Rpc::kUnary;
  route.method = "POST";
  route.path = "/dapr.proto.runtime.v1.Dapr/" + method;
  route.ledgered = true;
  route.body_limit = kMostRequestBytes;
  route.selector = "1";  // store_name
  route.key = "2";       // resource_id
  route.group = std::move(group);
  route.version = "v1alpha1";
  route.errors = ErrorShape::kGrpc;
  return route;
}

sdk::Response refuse(const Refused& refused, Action action) {
  return sdk::rpc_response(sdk::rpc_status(rpc_code(refused.why), api_error(refused, action)));
}

sdk::Response unreadable(const Error& error) {
  const sdk::RpcStatus status{error.code, error.message, {}};
  return sdk::rpc_response(status);
}

}  // namespace

void DaprGrpc::define(sdk::Definition& definition) {
  definition.route(route_of("lock", "TryLockAlpha1"), [this](sdk::Request& request) { return try_lock(request); });
  definition.route(route_of("unlock", "UnlockAlpha1"), [this](sdk::Request& request) { return unlock(request); });
}

Task<sdk::Response> DaprGrpc::try_lock(sdk::Request& request) {
  auto lock = try_lock_of_message(std::string(request.body()));
  if (!lock) co_return unreadable(lock.error());
  auto task = service_.try_lock(*std::move(lock), caller_of(request));
  const Answered<bool> answer = co_await std::move(task);
  count(counters_, Action::kTake, answer.refused, answer.value);
  if (answer.refused) co_return refuse(*answer.refused, Action::kTake);
  co_return sdk::rpc_response(message_of_success(answer.value));
}

Task<sdk::Response> DaprGrpc::unlock(sdk::Request& request) {
  auto unlock = unlock_of_message(std::string(request.body()));
  if (!unlock) co_return unreadable(unlock.error());
  auto task = service_.unlock(*std::move(unlock), caller_of(request));
  const Answered<Unlocked> answer = co_await std::move(task);
  count(counters_, Action::kRelease, answer.refused, answer.value == Unlocked::kDone);
  if (answer.refused) co_return refuse(*answer.refused, Action::kRelease);
  co_return sdk::rpc_response(message_of_status(answer.value));
}

}  // namespace caisson::lock
