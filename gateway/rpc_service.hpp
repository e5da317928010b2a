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
  struct End;
  /// How far a streamed answer has been passed on.
  struct Passed {
    bool begun = false;      // the client has its head
    bool lost = false;       // it may go on at another instance,
    std::string token;       // by this token
    std::size_t pieces = 0;  // of the last instance
  };

  [[nodiscard]] sdk::RpcStatus admit(Call& call);
  Task<void> serve_unary(Call& call);
  Task<void> serve_stream(Call& call);
  Task<Result<std::string>> read_body(Call& call, std::size_t limit);
  Task<Result<std::string>> read_first(Call& call, std::size_t limit);
  Task<void> pump_request(Http2Stream& stream, BodyWriter& body, Deadline deadline);
  Task<void> serve_resumable(Call& call, std::string first, std::string component);
  Task<void> pass_stream(Call& call, Reply& reply, Passed& passed);
  static void finish(Call& call, const End& end);
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
