#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "bus/buffer.hpp"
#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/wire.hpp"
#include "net/http1_response_parser.hpp"
#include "net/tcp_stream.hpp"

namespace caisson::net {

/// The head of a request; `path` and `query` as they go on the wire. Connection headers, Host,
/// Content-Length and Expect among `headers` are not sent: this client writes its own.
struct HttpRequestHead {
  std::string_view method = "GET";
  std::string_view path = "/";
  std::string_view query;
  std::span<const Field> headers;
};

/// kInvalidArgument: it cannot be sent as HTTP.
Result<void> check(const HttpRequestHead& head);
/// A header that is not sent as it is: it concerns one connection, or the sender writes its own.
bool is_left_out(const HttpRequestHead& head, std::string_view name);

/// The body of a request: `first`, then, where `rest` is given, what that yields until nothing.
struct HttpRequestBody {
  using Next = std::function<Task<Result<std::optional<Buffer>>>(Deadline)>;
  std::string_view first;
  Next rest;
  /// Of the whole body, where it is streamed and known; else it goes out in chunks.
  std::optional<std::uint64_t> length;
};

/// An answer: its head, and the body as it arrives. Dropped before the end, its connection is
/// closed. Outlives nothing that the request's body points to: that may still be going out.
class HttpReply {
 public:
  HttpReply(HttpReply&&) noexcept;
  HttpReply& operator=(HttpReply&&) noexcept;
  ~HttpReply();

  [[nodiscard]] ResponseHead& head();
  /// The next piece of the body, or nothing at the end. kDeadlineExceeded; kUnknown when the
  /// connection broke or what came is no HTTP; or what the request's body failed with.
  Task<Result<std::optional<Buffer>>> next(Deadline deadline);
  /// The whole body has arrived: next() will not wait.
  [[nodiscard]] bool complete() const;

 private:
  friend class Http1Client;
  struct Connection;
  struct Shared;
  HttpReply(std::shared_ptr<Shared> shared, std::unique_ptr<Connection> connection);
  void settle();

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Connection> connection_;
};

/// Sends HTTP/1.1 requests to one upstream over kept connections, the most recent first; as many at
/// a time as are asked for. One thread. Replies and calls under way may outlive the client.
class Http1Client {
 public:
  struct Options {
    std::size_t max_idle = 128;
    /// Unused connections are closed after this; the last one stays, since its end tells of the
    /// upstream's.
    Nanos idle_time = std::chrono::seconds(30);
    /// A kept connection was closed by the upstream.
    std::function<void()> hung_up = [] {};
    /// For https; null: in the clear.
    TlsFactory tls;
  };

  Http1Client(EventLoop& loop, Endpoint endpoint, Options options);
  Http1Client(const Http1Client&) = delete;
  Http1Client& operator=(const Http1Client&) = delete;
  ~Http1Client();

  /// Sends one request and waits for the head of its answer. What head and body view must live as
  /// long as the reply. Dropping the task closes the connection.
  ///
  /// kUnavailable: nothing was sent. kUnknown: it was sent, and the connection broke without an
  /// answer. kDeadlineExceeded. kInvalidArgument: it would be no HTTP. Or what `body.rest` failed with.
  ///
  /// A kept connection that turns out to be closed is replaced once, when nothing of the request
  /// was sent, or its method is idempotent, its body not streamed and not a byte was answered.
  Task<Result<HttpReply>> call(HttpRequestHead head, HttpRequestBody body, Deadline deadline);

  [[nodiscard]] std::size_t idle_connections() const;
  void close_idle();
  /// Where connections are opened from now on; kept ones to elsewhere are closed.
  void move_to(Endpoint endpoint);

 private:
  using Connection = HttpReply::Connection;
  using Shared = HttpReply::Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace caisson::net
