#pragma once

#include <memory>
#include <string>

#include "gateway/app_config.hpp"
#include "gateway/dispatch.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http1_parser.hpp"
#include "gateway/http2_stream.hpp"
#include "gateway/route_table.hpp"
#include "gateway/routing.hpp"

namespace caisson::sdk {
struct RpcStatus;
}

namespace caisson::gateway {

/// The gRPC API behind one app's door: token, route, deadline, trace context, then on to dispatch; and
/// gRPC's framing and trailers on the way back. One thread; all references outlive it.
class RpcService {
 public:
  RpcService(EventLoop& loop, const AppConfig& app, Routing& routing, Dispatch& dispatch, GatewayCounters& counters)
      : loop_(loop), app_(app), routing_(routing), dispatch_(dispatch), counters_(counters) {}

  /// True for a request that is a gRPC call: by its content type alone.
  [[nodiscard]] static bool takes(const RequestHead& head);

  /// Serves one call to its end. Dropped when the client cancels.
  Task<void> serve(std::shared_ptr<Http2Stream> stream, const RequestHead& head);

 private:
  struct Call;

  [[nodiscard]] sdk::RpcStatus admit(Call& call);
  Task<void> serve_unary(Call& call);
  Task<void> serve_stream(Call& call);
  Task<Result<std::string>> read_body(Call& call, std::size_t limit);
  Task<Result<std::string>> read_first(Call& call, std::size_t limit);
  Task<void> pump_request(Call& call, BodyWriter& body);
  std::string take_whole(Call& call);
  Task<bool> pass_stream(Call& call, Reply& reply);
  static bool may_resume(Call& call);
  [[nodiscard]] RoutedRequest routed(const Call& call, std::string_view component,
                                     std::span<const Field> headers) const;
  void refuse(Call& call, const sdk::RpcStatus& status);
  void refuse(Call& call, const Refusal& refusal);

  EventLoop& loop_;
  const AppConfig& app_;
  Routing& routing_;
  Dispatch& dispatch_;
  GatewayCounters& counters_;
};

}  // namespace caisson::gateway
