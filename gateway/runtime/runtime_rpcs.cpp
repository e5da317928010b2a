#include "gateway/runtime/metadata_message.hpp"
#include "gateway/runtime/runtime_capability.hpp"
#include "google/protobuf/empty.pb.h"
#include "sdk/rpc.hpp"

/// The gRPC methods of the runtime's own API.
namespace caisson::gateway {

namespace {

namespace rpc = ::dapr::proto::runtime::v1;

sdk::Response plain(const Error& error) { return sdk::rpc_response(sdk::RpcStatus{error.code, error.message, {}}); }

Route rpc_of(std::string_view method, std::string group) {
  Route route = sdk::dapr_rpc(method, std::move(group), "v1");
  route.safe = true;
  return route;
}

}  // namespace

void RuntimeCapability::define_rpcs(sdk::Definition& definition) {
  definition.route(rpc_of("GetMetadata", "metadata"), [this](sdk::Request& r) { return rpc_get_metadata(r); });
  definition.route(rpc_of("SetMetadata", "metadata"), [this](sdk::Request& r) { return rpc_set_metadata(r); });
  definition.route(rpc_of("Shutdown", "shutdown"), [this](sdk::Request& r) { return rpc_shut_down(r); });
}

/// Its request has no fields that matter: older clients send Empty.
Task<sdk::Response> RuntimeCapability::rpc_get_metadata(sdk::Request& request) {
  const auto message = metadata_message(render_metadata(facts_, request.app(), attributes_));
  if (!message) co_return plain(message.error());
  co_return sdk::rpc_response(*message);
}

Task<sdk::Response> RuntimeCapability::rpc_set_metadata(sdk::Request& request) {
  rpc::SetMetadataRequest message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) co_return plain(read.error());
  if (message.key().empty()) co_return sdk::rpc_response(google::protobuf::Empty());  // as Dapr does
  const Result<void> kept = attributes_.put(request.app(), message.key(), message.value());
  if (!kept) co_return plain(kept.error());
  co_return sdk::rpc_response(google::protobuf::Empty());
}

Task<sdk::Response> RuntimeCapability::rpc_shut_down(sdk::Request&) {
  shutdown_timer_.start_after(kShutdownDelay);
  co_return sdk::rpc_response(google::protobuf::Empty());
}

}  // namespace caisson::gateway
