#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gateway/client_socket.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http1_connection.hpp"
#include "gateway/http2_connection.hpp"

namespace caisson::gateway {

/// One client's connection from its first byte to its end; the first bytes tell its protocol. One
/// thread; what `services` names and the counters outlive it.
class Connection {
 public:
  /// Takes the socket over. `abandon` as Http1Connection's.
  Connection(EventLoop& loop, int fd, const Services& services, const HttpOptions& options, GatewayCounters& counters,
             std::function<void()> abandon);

  Task<void> run();
  /// Ends once what is under way is finished; at once where there is nothing.
  void finish();

 private:
  /// What has come up to a point where the protocol is known.
  Task<std::string> first_bytes();

  EventLoop& loop_;
  Services services_;
  const HttpOptions& options_;
  GatewayCounters& counters_;
  std::function<void()> abandon_;
  bool finishing_ = false;
  ClientSocket socket_;
  std::unique_ptr<Http1Connection> http1_;
  std::unique_ptr<Http2Connection> http2_;
};

}  // namespace caisson::gateway
