#include "capabilities/invoke/service.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "bus/pump.hpp"
#include "capabilities/invoke/headers.hpp"

namespace caisson::invoke {

namespace {

/// Calls that may wait at a time for apps that cannot be reached; each holds a place in the gateway's
/// window. Beyond them the answer is given at once.
constexpr std::size_t kMostWaiting = 64;

sdk::Outcome outcome_of(const Result<Reply>& reply) {
  sdk::Outcome outcome;
  if (!reply) {
    outcome.failed = true;
    outcome.error = reply.error().code;
    outcome.permanent = outcome.error == Errc::kCancelled || outcome.error == Errc::kNotFound ||
                        outcome.error == Errc::kPermissionDenied || outcome.error == Errc::kInvalidArgument;
    return outcome;
  }
  const int status = reply->head->status();
  outcome.failed = status < 200 || status > 399;
  outcome.code = status;
  return outcome;
}

/// The app's answer, status, headers and body as they are.
Task<Result<void>> pass_on(Incoming& incoming, Reply reply) {
  const std::vector<Field> headers = response_headers(reply.head.headers());
  Envelope answer;
  answer.status = reply.head->status();
  answer.headers = headers;
  const bool streamed = reply.head.streamed();
  Buffer first = std::move(reply.head).into_payload();  // keeps what the headers point to
  if (!streamed) co_return co_await incoming.reply(answer, std::move(first));
  CO_ASSIGN(BodyWriter writer, co_await incoming.reply_streamed(answer, std::move(first)));
  co_await pump(std::move(reply.rest), std::move(writer), incoming.deadline());
  co_return ok();
}

std::optional<std::uint64_t> content_length(Fields headers) {
  const std::string_view text = headers.get("content-length");
  std::uint64_t length = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return length;
}

}  // namespace

struct InvokeService::Outgoing {
  Outgoing(const sdk::Request& request, const Invocation& invocation, std::string app, std::string_view own_namespace)
      : caller(request.app()), target(std::move(app)) {
    headers = request_headers(request.headers(), /*keep_length=*/request.frame().streamed());
    headers.push_back({"dapr-caller-app-id", caller});
    headers.push_back({"dapr-caller-namespace", own_namespace});
    headers.push_back({"dapr-callee-app-id", target});
    call.target = "app";
    call.app = target;
    call.method = request.method();
    call.path = invocation.path;
    call.query = request.query();
    call.traceparent = request.traceparent();
    call.tracestate = request.tracestate();
    call.hops = static_cast<std::uint8_t>(request.hops() + 1);
    call.headers = headers;
  }
  Outgoing(const Outgoing&) = delete;  // `call` points into this
  Outgoing& operator=(const Outgoing&) = delete;

  std::string caller;
  std::string target;
  std::vector<Field> headers;
  Envelope call;
};

class InvokeService::Waiting {
 public:
  explicit Waiting(std::size_t& count) : count_(count) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    if (counted_) --count_;
  }
  void begin() {
    if (!std::exchange(counted_, true)) ++count_;
  }

 private:
  std::size_t& count_;
  bool counted_ = false;
};

InvokeService::InvokeService(sdk::Context& context) : context_(context), resiliency_(context.loop()) {
  const char* const given = std::getenv("NAMESPACE");
  own_namespace_ = given == nullptr || *given == '\0' ? "default" : given;
}

void InvokeService::start() {
  invocations_ = context_.counters().counter("invocations_total");
  attempts_ = context_.counters().counter("invoke_attempts_total");
  failures_ = context_.counters().counter("invoke_failures_total");
  streamed_ = context_.counters().counter("invoke_streamed_bodies_total");
  breakers_not_closed_ = context_.counters().gauge("invoke_breakers_not_closed");
}

void InvokeService::configure(const config::Generation& generation) { resiliency_.configure(generation); }

Task<Result<void>> InvokeService::carry(sdk::Request& request, const Invocation& invocation) {
  invocations_.add();
  const std::optional<std::string> target = local_app(invocation.app);
  if (!target) {
    failures_.add();
    co_return Error{Errc::kNotFound, fmt::format("couldn't find app id {}", invocation.app)};
  }
  if (request.hops() >= kMaxHops) {
    failures_.add();
    co_return Error{Errc::kFailedPrecondition, "the request was passed on too often"};
  }
  const sdk::Policy policy = policy_for(std::string(request.app()), *target, invocation.method);
  const Outgoing outgoing(request, invocation, *target, own_namespace_);
  Result<void> carried = co_await carry_under(request, outgoing, policy);
  if (!carried) failures_.add();
  if (policy.breaker() != nullptr) show_breakers();
  co_return carried;
}

Task<Result<void>> InvokeService::carry_under(sdk::Request& request, const Outgoing& outgoing,
                                              const sdk::Policy& policy) {
  std::string body(request.body());
  if (request.frame().streamed()) {
    const auto length = content_length(request.headers());
    const bool keep = policy.retries() && !policy.built_in() && length && *length <= kMaxKeptBody;
    if (!keep) {
      streamed_.add();
      co_return co_await carry_streamed(request, outgoing, policy);
    }
    CO_ASSIGN(const std::string rest, co_await request.incoming().rest().all(kMaxKeptBody, request.deadline()));
    body += rest;
  }
  co_return co_await carry_whole(request, outgoing, policy, std::move(body));
}

/// An id may carry this runtime's own namespace.
std::optional<std::string> InvokeService::local_app(const std::string& id) const {
  if (context_.apps().contains(id)) return id;
  const std::size_t dot = id.find('.');
  if (dot == std::string::npos || id.substr(dot + 1) != own_namespace_) return std::nullopt;
  std::string name = id.substr(0, dot);
  if (!context_.apps().contains(name)) return std::nullopt;
  return name;
}

sdk::Policy InvokeService::policy_for(const std::string& caller, const std::string& target, const std::string& method) {
  sdk::Policy policy = resiliency_.for_app(caller, target, method);
  // A call to oneself goes to the app directly: the built-in retries are for other apps.
  const bool own = policy.built_in() && (caller == target || waiting_ >= kMostWaiting);
  return own ? sdk::Policy() : policy;
}

Task<Result<void>> InvokeService::carry_whole(sdk::Request& request, const Outgoing& outgoing,
                                              const sdk::Policy& policy, std::string body) {
  Waiting waiting(waiting_);
  const bool keep = policy.retries();
  std::function<Task<Result<Reply>>(Deadline)> one = [&](Deadline until) {
    attempts_.add();
    return context_.call(outgoing.call, keep ? Buffer::copy_of(body) : Buffer(std::move(body)), until);
  };
  std::function<sdk::Outcome(const Result<Reply>&)> classify = [&waiting](const Result<Reply>& reply) {
    sdk::Outcome outcome = outcome_of(reply);
    if (outcome.error == Errc::kUnavailable) waiting.begin();
    return outcome;
  };
  Result<Reply> reply = co_await policy.run<Reply>(std::move(one), std::move(classify), request.deadline());
  if (!reply) co_return std::move(reply).error();
  co_return co_await pass_on(request.incoming(), *std::move(reply));
}

/// A body that cannot be kept is sent once: no retry, but timeout and breaker all the same.
Task<Result<void>> InvokeService::carry_streamed(sdk::Request& request, const Outgoing& outgoing,
                                                 const sdk::Policy& policy) {
  TaskScope scope(context_.loop());
  const Deadline overall = request.deadline();
  std::optional<OpenCall> open;  // lives until the answer has been passed on
  std::function<Task<Result<Reply>>(Deadline)> one = [&](Deadline until) {
    return open_and_wait(request, outgoing, scope, open, until);
  };
  std::function<sdk::Outcome(const Result<Reply>&)> classify = [](const Result<Reply>& reply) {
    sdk::Outcome outcome = outcome_of(reply);
    outcome.permanent = true;
    return outcome;
  };
  Result<Reply> reply = co_await policy.run<Reply>(std::move(one), std::move(classify), overall);
  if (!reply) co_return std::move(reply).error();
  co_return co_await pass_on(request.incoming(), *std::move(reply));
}

Task<Result<Reply>> InvokeService::open_and_wait(sdk::Request& request, const Outgoing& outgoing, TaskScope& scope,
                                                 std::optional<OpenCall>& open, Deadline deadline) {
  attempts_.add();
  CO_ASSIGN(open, context_.open_call(outgoing.call, Buffer::copy_of(request.body()), deadline));
  scope.spawn(pump(request.incoming().rest(), std::move(open->body), deadline));
  co_return co_await open->reply(deadline);
}

void InvokeService::show_breakers() {
  std::uint64_t count = 0;
  for (const sdk::BreakerStatus& breaker : resiliency_.breakers()) {
    if (breaker.state != sdk::BreakerState::kClosed) ++count;
  }
  breakers_not_closed_.set(count);
}

}  // namespace caisson::invoke
