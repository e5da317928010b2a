#pragma once

#include <optional>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/task.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http_service.hpp"

/// How one HTTP request is served, whatever version of HTTP carries it.
namespace caisson::gateway {

/// A request's body as its connection reads it, and what the connection is told meanwhile.
class RequestBody {
 public:
  /// The next bytes, valid until the next call; empty at the end. An error: the rest does not come.
  virtual Task<Result<std::string_view>> next_piece() = 0;
  /// From now on the client is not waited for, but somebody else; or no longer.
  virtual void set_serving(bool serving) = 0;
  /// The body broke off while it was passed on: nobody is there to be answered.
  virtual void abandon() = 0;

 protected:
  ~RequestBody() = default;
};

struct ServedRequest {
  HttpAnswer answer;
  /// Set: what came is no request, or did not all come, and `answer` is none.
  std::optional<Error> unreadable;
  /// The rest of the body should be read and thrown away, so that the client sees the answer.
  bool body_unwanted = false;
};

/// Admits the request, collects its body or passes it on in pieces, and brings the answer. All
/// references outlive the task.
Task<ServedRequest> serve_request(EventLoop& loop, HttpService& service, GatewayCounters& counters,
                                  HttpRequest& request, RequestBody& body);

}  // namespace caisson::gateway
