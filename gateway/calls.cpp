#include "gateway/calls.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "bus/pump.hpp"
#include "bus/task_scope.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kApp = "app";

std::vector<Field> fields_of(const Fields& fields) {
  std::vector<Field> list;
  for (const Field field : fields) list.push_back(field);
  return list;
}

/// The request that a call becomes. It points into the call's frame and into the two lists.
Envelope request_of(const Frame& call, const std::vector<Field>& parameters, const std::vector<Field>& headers) {
  Envelope request;
  request.flags = call.streamed() ? kStreamed : 0;
  request.request = request_id(call.envelope());
  request.target = text(call->target());
  request.app = text(call->app());
  request.hops = static_cast<std::uint8_t>(call->hops() + 1);
  request.method = text(call->method());
  request.path = text(call->path());
  request.query = text(call->query());
  request.traceparent = text(call->traceparent());
  request.tracestate = text(call->tracestate());
  request.parameters = parameters;
  request.headers = headers;
  return request;
}

}  // namespace

Task<void> Calls::serve(std::string capability, Incoming call) {
  struct Count {
    std::size_t& number;
    explicit Count(std::size_t& of) : number(of) { ++number; }
    Count(const Count&) = delete;
    ~Count() { --number; }
  };
  const Count count(under_way_);
  ++counters_.calls;
  const std::string target(text(call.head()->target()));
  Result<void> served;
  if (!targets_.granted(capability, target)) {
    ++counters_.calls_denied;
    log_limit_.log(LogLevel::kWarning,
                   fmt::format("{} called '{}', which its manifest does not grant", capability, target));
    served = Error{Errc::kPermissionDenied,
                   fmt::format("the manifest of {} does not grant calls to '{}'", capability, target)};
  } else if (call.head()->hops() >= kMaxHops) {
    ++counters_.calls_over_hop_limit;
    served = Error{Errc::kFailedPrecondition,
                   fmt::format("the call to '{}' was passed on {} times already", target, call.head()->hops())};
  } else if (closed_) {
    served = Error{Errc::kUnavailable, "this gateway is shutting down"};
  } else if (target != kApp) {
    served = co_await forward(call);
  } else if (AppChannel* const app = targets_.app(text(call.head()->app())); app != nullptr) {
    co_await app->serve(std::move(call));
    co_return;
  } else {
    served = Error{Errc::kNotFound, fmt::format("this gateway serves no app '{}'", text(call.head()->app()))};
  }
  if (served) co_return;
  [[maybe_unused]] const auto told = co_await call.reply_error(served.error());  // or the caller is gone
}

/// An error: no answer has been begun.
Task<Result<void>> Calls::forward(Incoming& call) {
  const Deadline deadline = call.deadline();
  const std::string target(text(call.head()->target()));
  const bool streamed = call.head().streamed();
  const BodyReader rest = call.rest();
  // The frame's memory goes on with the payload; what the envelope says is needed until it is sent.
  const std::vector<Field> parameters = fields_of(call.head().parameters());
  const std::vector<Field> headers = fields_of(call.head().headers());
  const Envelope request = request_of(call.head(), parameters, headers);
  Buffer payload = std::move(call.head()).into_payload();

  while (true) {
    CO_ASSIGN(Link * link, co_await targets_.instance_serving(target, deadline));
    if (!link->has_room()) {
      const Wake wake = co_await link->room().wait(loop_, deadline);
      if (wake == Wake::kDeadline) {
        co_return Error{Errc::kResourceExhausted, fmt::format("'{}' was busy until the deadline", target)};
      }
      continue;  // the link may be gone by now
    }
    ++counters_.calls_forwarded;
    if (!streamed) {
      CO_ASSIGN(Reply reply, co_await link->call(request, payload, deadline));
      co_return co_await pass_back(call, std::move(reply));
    }
    CO_ASSIGN(OpenCall open, link->open(request, payload, deadline));
    TaskScope beside(loop_);
    beside.spawn(pump(rest, std::move(open.body), deadline));
    CO_ASSIGN(Reply reply, co_await open.reply(deadline));
    co_return co_await pass_back(call, std::move(reply));
  }
}

Task<Result<void>> Calls::pass_back(Incoming& call, Reply reply) {
  const std::vector<Field> headers = fields_of(reply.head.headers());
  const std::vector<Field> trailers = fields_of(Fields(reply.head->trailers()));
  const std::string message(text(reply.head->message()));
  Envelope answer;
  answer.status = reply.head->status();
  answer.message = message;
  answer.headers = headers;
  answer.trailers = trailers;
  answer.traceparent = text(reply.head->traceparent());
  answer.tracestate = text(reply.head->tracestate());
  const bool streamed = reply.head.streamed();
  Buffer payload = std::move(reply.head).into_payload();
  if (!streamed) co_return co_await call.reply(answer, std::move(payload));
  CO_ASSIGN(BodyWriter writer, co_await call.reply_streamed(answer, std::move(payload)));
  co_await pump(std::move(reply.rest), std::move(writer), call.deadline());
  co_return ok();
}

}  // namespace caisson::gateway
