#pragma once

#include <string>

#include "bus/event_loop.hpp"
#include "gateway/facts.hpp"
#include "gateway/runtime/health.hpp"
#include "gateway/runtime/metadata.hpp"
#include "sdk/capability.hpp"

namespace caisson::gateway {

/// The runtime's own API, as a capability inside the gateway's process (linked over inproc): metadata,
/// health, shutdown. It reads facts and status frames only, so it answers with every other
/// capability dead. One thread; the facts outlive it.
///
///   GET  /v1.0/metadata            what runs for this app
///   PUT  /v1.0/metadata/{key}      an attribute beside it; body is the text
///   GET  /v1.0/healthz             204, or 500 with errorCode; ?appid=, ?require=part[,part]
///   GET  /v1.0/healthz/outbound    204 as soon as it is asked
///   POST /v1.0/shutdown            204, then the whole runtime ends; dapr-force-shutdown: true
///
/// Over gRPC: GetMetadata, SetMetadata, Shutdown; server reflection (gateway/runtime/reflection.hpp). And it
/// answers for the building blocks that are not here (gateway/runtime/missing_blocks.hpp).
class RuntimeCapability final : public sdk::Capability {
 public:
  RuntimeCapability(sdk::Context& context, Facts& facts);

  /// The attributes are kept together with those of other gateways: Attributes::share().
  Result<void> share_attributes(const std::string& folder, const std::string& name) {
    return attributes_.share(folder, name);
  }

  void define(sdk::Definition& definition) override;
  void start() override;

 private:
  /// The answer goes out before the process does.
  static constexpr Nanos kShutdownDelay = std::chrono::milliseconds(100);

  Task<sdk::Response> get_metadata(sdk::Request& request);
  Task<sdk::Response> put_metadata(sdk::Request& request);
  Task<sdk::Response> get_health(sdk::Request& request);
  Task<sdk::Response> get_outbound_health(sdk::Request& request);
  Task<sdk::Response> shut_down(sdk::Request& request);
  void define_rpcs(sdk::Definition& definition);
  Task<sdk::Response> rpc_get_metadata(sdk::Request& request);
  Task<sdk::Response> rpc_set_metadata(sdk::Request& request);
  Task<sdk::Response> rpc_shut_down(sdk::Request& request);
  [[nodiscard]] sdk::Response required(std::string_view names, std::string_view app) const;
  void observe();

  Facts& facts_;
  Health health_;
  Attributes attributes_;
  bool force_ = false;
  Timer observe_timer_;
  Timer shutdown_timer_;
};

}  // namespace caisson::gateway
