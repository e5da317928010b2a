#include "capabilities/secrets/dapr_grpc.hpp"

#include <fmt/format.h>

#include "capabilities/secrets/dapr_errors.hpp"
#include "dapr/proto/runtime/v1/secret.pb.h"
#include "sdk/rpc.hpp"

namespace caisson::secrets {

namespace {

namespace rpc = ::dapr::proto::runtime::v1;
using Values = google::protobuf::Map<std::string, std::string>;

Route secrets_route(std::string_view method) {
  Route route = sdk::dapr_rpc(method, "secrets", "v1");
  route.safe = true;
  route.selector = "1";
  return route;
}

sdk::Response malformed(const Error& error) { return sdk::rpc_response(sdk::RpcStatus{error.code, error.message, {}}); }

/// Dapr gives no details of errors here.
sdk::Response refuse(const Refused& refused, const std::string& store, const std::string& what) {
  return sdk::rpc_response(sdk::rpc_status(api_error(refused, store, what)));
}

void move_into(Secret& secret, Values& values) {
  for (auto& [key, value] : secret) values[key] = std::move(value);
}

void wipe(Values& values) {
  for (auto& [key, value] : values) secrets::wipe(value);
}

}  // namespace

void DaprGrpc::define(sdk::Definition& definition) {
  definition.route(secrets_route("GetSecret"), [this](sdk::Request& request) { return get(request); });
  definition.route(secrets_route("GetBulkSecret"), [this](sdk::Request& request) { return get_bulk(request); });
}

Task<sdk::Response> DaprGrpc::get(sdk::Request& request) {
  rpc::GetSecretRequest message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) co_return malformed(read.error());
  auto getting = service_.get(std::string(request.app()), message.store_name(), message.key(), request.deadline());
  Answered<Secret> answer = co_await std::move(getting);
  if (answer.refused) {
    co_return refuse(*answer.refused, message.store_name(), fmt::format("secret with key {}", message.key()));
  }
  rpc::GetSecretResponse response;
  move_into(answer.value, *response.mutable_data());
  wipe(answer.value);  // what was too short to be moved
  sdk::Response out = sdk::rpc_response(response);
  wipe(*response.mutable_data());
  co_return out;
}

Task<sdk::Response> DaprGrpc::get_bulk(sdk::Request& request) {
  rpc::GetBulkSecretRequest message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) co_return malformed(read.error());
  auto getting = service_.get_all(std::string(request.app()), message.store_name(), request.deadline());
  Answered<Secrets> answer = co_await std::move(getting);
  if (answer.refused) co_return refuse(*answer.refused, message.store_name(), "all secrets");
  rpc::GetBulkSecretResponse response;
  auto& all = *response.mutable_data();
  for (auto& [name, secret] : answer.value) move_into(secret, *all[name].mutable_secrets());
  wipe(answer.value);
  sdk::Response out = sdk::rpc_response(response);
  for (auto& [name, secret] : all) wipe(*secret.mutable_secrets());
  co_return out;
}

}  // namespace caisson::secrets
