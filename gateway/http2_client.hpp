#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "bus/buffer.hpp"
#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "gateway/http2_stream.hpp"
#include "net/http1_client.hpp"

namespace caisson::gateway {

/// An answer over HTTP/2: its head, the body as it arrives, then its trailers. Dropped before the end,
/// its stream is reset. Outlives nothing that the request's body points to: that may still be going out.
class Http2Reply {
 public:
  Http2Reply(Http2Reply&&) noexcept;
  Http2Reply& operator=(Http2Reply&&) noexcept;
  ~Http2Reply();

  [[nodiscard]] net::ResponseHead& head();
  /// The next piece of the body, or nothing at the end. The app's window opens as pieces are taken.
  /// kDeadlineExceeded; kUnknown when the stream or its connection broke; or what the request's body
  /// failed with.
  Task<Result<std::optional<Buffer>>> next(Deadline deadline);
  /// The whole body has arrived: next() will not wait.
  [[nodiscard]] bool complete() const;
  /// Complete once next() gave nothing.
  [[nodiscard]] const Http2Fields& trailers() const;

 private:
  friend class Http2Client;
  struct Exchange;
  explicit Http2Reply(std::unique_ptr<Exchange> exchange);

  std::unique_ptr<Exchange> exchange_;
};

/// Sends HTTP/2 requests to one upstream over one connection that all share, opened when it is needed:
/// in the clear with prior knowledge, or over TLS. A connection that the upstream lets go (GOAWAY)
/// finishes what runs on it, while new requests open the next. Of connections that cannot be opened
/// there is one in 100 ms at first, one in 5 s later; requests in between fail at once.
///
/// No pings of its own: gRPC servers end connections on which they come often, and whether the upstream
/// is there is watched by who owns this. One thread. Replies and calls under way may outlive the client.
class Http2Client {
 public:
  struct Options {
    /// The connection ended.
    std::function<void()> hung_up = [] {};
    /// For https; null: in the clear.
    net::TlsFactory tls;
    Nanos first_pause = std::chrono::milliseconds(100);
    Nanos longest_pause = std::chrono::seconds(5);
  };

  Http2Client(EventLoop& loop, net::Endpoint endpoint, Options options);
  ~Http2Client();

  /// Sends one request and waits for the head of its answer. What head and body view must live as
  /// long as the reply. Dropping the task resets the stream. A header `te: trailers` is sent.
  ///
  /// kUnavailable: nothing was sent, or the upstream did not look at it. kUnknown: it was sent, and the
  /// stream or the connection broke without an answer. kResourceExhausted: the upstream took no more
  /// streams until the deadline. kDeadlineExceeded. kInvalidArgument: it would be no HTTP. Or what
  /// `body.rest` failed with. A request that the upstream did not look at is sent once more, unless its
  /// body is streamed.
  Task<Result<Http2Reply>> call(net::HttpRequestHead head, net::HttpRequestBody body, Deadline deadline);

  [[nodiscard]] bool connected() const;
  /// Streams on the connection that takes new requests.
  [[nodiscard]] std::size_t streams() const;
  /// No further request goes over this connection; it ends with those that run.
  void retire();
  /// Where connections are opened from now on; one to elsewhere is retired.
  void move_to(net::Endpoint endpoint);

 private:
  class Connection;
  struct Shared;
  friend struct Http2Reply::Exchange;
  std::shared_ptr<Shared> shared_;
};

}  // namespace caisson::gateway
