#pragma once

#include <optional>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/task.hpp"
#include "bus/task_scope.hpp"
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
  /// The body has been passed on to its end.
  virtual void ended() = 0;
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

/// One request being served. Kept until its answer is written: the request's body may still be on its
/// way to the capability meanwhile. All references outlive it.
class HttpExchange {
 public:
  HttpExchange(EventLoop& loop, HttpService& service, GatewayCounters& counters, HttpRequest& request,
               RequestBody& body)
      : loop_(loop), service_(service), counters_(counters), request_(request), body_(body) {}

  /// Admits the request, collects its body or begins to pass it on in pieces, and brings the answer.
  Task<ServedRequest> serve();

 private:
  Task<Result<Buffer>> collect(std::size_t limit);
  Task<ServedRequest> serve_streamed(const Admission& admission);
  Task<void> pass_on(std::size_t limit);

  EventLoop& loop_;
  HttpService& service_;
  GatewayCounters& counters_;
  HttpRequest& request_;
  RequestBody& body_;
  bool over_limit_ = false;
  Opened opened_;
  std::optional<TaskScope> beside_;  // of a streamed body; ends before what it writes to
};

}  // namespace caisson::gateway
