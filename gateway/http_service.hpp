#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/link.hpp"
#include "gateway/dispatch.hpp"
#include "gateway/http1_parser.hpp"
#include "gateway/route_table.hpp"
#include "gateway/trace_context.hpp"

namespace caisson::gateway {

/// What a connection writes as the answer to one request.
struct HttpAnswer {
  std::uint16_t status = 200;
  /// Whole header lines of the gateway's own, each with its CRLF.
  std::string headers;
  /// The gateway's own body; where `reply` is set, headers and body are the capability's.
  std::string body;
  std::optional<Reply> reply;
  /// Held until the answer is written.
  Instance::Place place;
  RequestWindow::Slot slot;

  static HttpAnswer text(std::uint16_t status, std::string_view message);
  static HttpAnswer json(std::uint16_t status, std::string body);
  /// An error in the words of the route's API.
  static HttpAnswer error(ErrorShape shape, const GatewayError& error);
};

/// One request as it goes through the gateway; kept by its connection and reused.
struct HttpRequest {
  const RequestHead* head = nullptr;
  // Filled in by the service:
  std::shared_ptr<const RouteTable> table;  // keeps what `match` points to, until the next request
  RouteMatch match;
  std::vector<Field> headers;  // those that cross the bus
  TraceContext trace;
  std::string extra_headers;  // of every answer to this request
};

/// What a service wants of a request, decided by its head alone.
struct Admission {
  /// Set: the answer; the body is not wanted.
  std::optional<HttpAnswer> refusal;
  std::size_t body_limit = 0;
  /// The answer to a longer body.
  HttpAnswer (*too_large)(const HttpRequest& request) = nullptr;
  /// A body that does not come at once may be passed on in pieces.
  bool streaming = false;
};

/// What stands behind a door: an app's API, the admin pages. One thread; outlives its connections.
class HttpService {
 public:
  virtual ~HttpService() = default;

  virtual Admission admit(HttpRequest& request) = 0;
  /// Answers a request with its whole body. Dropped when the client goes away.
  virtual Task<HttpAnswer> serve(HttpRequest& request, Buffer body) = 0;
  /// Begins a request whose body is streamed, with what has arrived of it.
  virtual Task<Opened> open(HttpRequest& request, Buffer first) = 0;
  virtual Task<HttpAnswer> reply(HttpRequest& request, Opened& opened) = 0;
};

}  // namespace caisson::gateway
