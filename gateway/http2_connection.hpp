#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/task.hpp"
#include "bus/task_scope.hpp"
#include "gateway/client_socket.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http2_session.hpp"
#include "gateway/http_options.hpp"
#include "gateway/http_service.hpp"
#include "gateway/rpc_service.hpp"

namespace caisson::gateway {

/// What stands behind a door.
struct Services {
  HttpService& http;
  /// Where it is set, gRPC calls go there.
  RpcService* rpc = nullptr;
};

/// One client's HTTP/2 connection: reads, writes once per turn of the loop, and serves each stream in
/// a task of its own, which ends when the client resets the stream or goes away. One thread;
/// everything it is given outlives it.
class Http2Connection final : private Http2Session::Handler {
 public:
  Http2Connection(EventLoop& loop, ClientSocket& socket, const Services& services, const HttpOptions& options,
                  GatewayCounters& counters);

  /// Serves until either side is done; `first` is what has been read already, `upgrade` the request
  /// that it began with as HTTP/1.1.
  Task<void> run(std::string first, std::optional<Http2Upgrade> upgrade);
  /// Takes no further streams, and ends when the last one has.
  void finish();

 private:
  // Http2Session::Handler
  void on_request(const std::shared_ptr<Http2Stream>& stream) override { begun_.push_back(stream); }
  void on_closed(Http2Stream& stream) override;
  void on_output() override { output_.wake_all(); }

  Task<void> read_all();
  Task<void> write_all();
  bool receive(std::string_view bytes);
  void look_for_stalls();
  void serve_begun();
  Task<void> serve(std::shared_ptr<Http2Stream> stream);
  Task<void> serve_http(Http2Stream& stream, RequestHead& head);
  void end() { ended_.wake_all(); }

  EventLoop& loop_;
  ClientSocket& socket_;
  Services services_;
  const HttpOptions& options_;
  GatewayCounters& counters_;
  bool writing_ = false;
  WaitQueue output_;   // there is something to send
  WaitQueue written_;  // the client takes bytes again
  WaitQueue ended_;
  std::string out_;
  std::vector<std::shared_ptr<Http2Stream>> begun_;  // in receive()
  Http2Session session_;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::gateway
