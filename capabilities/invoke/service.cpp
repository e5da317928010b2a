#include "capabilities/invoke/service.hpp"

#include <fmt/format.h>

#include "bus/pump.hpp"
#include "capabilities/invoke/headers.hpp"
#include "capabilities/invoke/http_call.hpp"
#include "capabilities/invoke/invocation.hpp"
#include "dapr/proto/common/v1/common.pb.h"

namespace caisson::invoke {

namespace {

namespace common = ::dapr::proto::common::v1;

/// The method that an app serves invocations with, when it speaks gRPC.
constexpr std::string_view kOnInvoke = "/dapr.proto.runtime.v1.AppCallback/OnInvoke";
/// Toward a gRPC app, where the caller says nothing.
constexpr std::string_view kJson = "application/json";

sdk::Outcome outcome_of_answer(const Result<Answer>& answer) {
  if (!answer) return outcome_of(answer.error());
  sdk::Outcome outcome;
  outcome.failed = answer->rpc ? answer->status != 0 : answer->status < 200 || answer->status > 399;
  outcome.code = answer->status;
  return outcome;
}

Answer answer_of(Reply reply, bool rpc) {
  Answer answer;
  answer.rpc = rpc;
  answer.status = reply.head->status();
  answer.message = text(reply.head->message());
  answer.headers = rpc ? answered_metadata(reply.head.headers()) : response_headers(reply.head.headers());
  for (const Field field : Fields(reply.head->trailers())) answer.trailers.push_back(field);
  const bool streamed = reply.head.streamed();
  answer.body = std::move(reply.head).into_payload();  // keeps what the headers point to
  if (streamed) answer.next = [rest = std::move(reply.rest)](Deadline until) mutable { return rest.next(until); };
  return answer;
}

/// A streamed request body on its way to an app, for as long as its answer is wanted.
struct Upload {
  explicit Upload(EventLoop& loop) : scope(loop) {}
  TaskScope scope;
  std::optional<OpenCall> open;
};

std::string rpc_message(const Operation& operation, std::string_view body) {
  common::InvokeRequest message;
  message.set_method(operation.rpc_method);
  message.mutable_data()->set_value(std::string(body));
  message.set_content_type(std::string(operation.content_type.empty() ? kJson : operation.content_type));
  common::HTTPExtension& http = *message.mutable_http_extension();
  common::HTTPExtension::Verb verb = common::HTTPExtension::NONE;
  common::HTTPExtension::Verb_Parse(std::string(operation.verb), &verb);
  http.set_verb(verb);
  http.set_querystring(std::string(operation.query));
  return message.SerializeAsString();
}

}  // namespace

struct InvokeService::Outgoing {
  Outgoing(const Operation& given, Callee to, std::string_view own_namespace)
      : operation(given), callee(std::move(to)), whole(given.body) {
    if (callee.kind == Callee::Kind::kExternal) return;
    call.target = "app";
    call.app = callee.name;
    call.traceparent = operation.traceparent;
    call.tracestate = operation.tracestate;
    call.hops = static_cast<std::uint8_t>(operation.hops + 1);
    headers = operation.headers;
    if (callee.kind == Callee::Kind::kRpcApp) {
      metadata = metadata_of_headers(operation.headers);
      headers = views_of(metadata);
      headers.push_back({"content-type", "application/grpc"});
      call.method = "POST";
      call.path = kOnInvoke;
    } else {
      call.method = operation.verb;
      call.path = operation.path;
      call.query = operation.query;
    }
    add_identity(headers, operation.caller, own_namespace, callee.name);
    call.headers = headers;
  }
  Outgoing(const Outgoing&) = delete;  // `call` points into this
  Outgoing& operator=(const Outgoing&) = delete;

  const Operation& operation;
  Callee callee;
  OwnedFields metadata;
  std::vector<Field> headers;
  Envelope call;
  /// The body, where it is not streamed.
  std::string whole;
  bool streamed = false;
  bool keep = false;  // another attempt may need `whole`
};

Task<Result<Answer>> InvokeService::invoke(const Operation& operation) {
  callees_.invocation_began();
  Result<Callee> callee = callees_.find(operation.target, operation.caller);
  if (callee && operation.hops >= kMaxHops) {
    callee = Error{Errc::kFailedPrecondition, "the request was passed on too often"};
  }
  if (callee && callee->kind != Callee::Kind::kRpcApp && !is_verb(operation.verb)) {
    callee = Error{Errc::kUnimplemented, fmt::format("the HTTP verb '{}' cannot be invoked", operation.verb)};
  }
  // A call to oneself goes to the app directly, as if there were no runtime between.
  if (callee && callee->name != operation.caller) {
    const Result<void> allowed = callees_.check_access(operation.caller, *callee, operation.method, operation.verb);
    if (!allowed) callee = allowed.error();
  }
  if (!callee) {
    callees_.invocation_ended(true, {});
    co_return std::move(callee).error();
  }
  const sdk::Policy policy = callees_.policy_for(operation.caller, *callee, operation.method);
  auto outgoing = std::make_shared<Outgoing>(operation, *std::move(callee), callees_.own_namespace());
  auto invoking = invoke_under(std::move(outgoing), policy);
  Result<Answer> answer = co_await std::move(invoking);
  callees_.invocation_ended(!answer, policy);
  co_return answer;
}

/// A streamed body is kept only where that is of use, or needed: a gRPC app takes one message.
Task<Result<Answer>> InvokeService::invoke_under(std::shared_ptr<Outgoing> outgoing, const sdk::Policy& policy) {
  const Operation& operation = outgoing->operation;
  const bool rpc = outgoing->callee.kind == Callee::Kind::kRpcApp;
  const bool short_enough = operation.length && *operation.length <= kMaxKeptBody;
  const bool repeatable = policy.retries() && !policy.built_in() && short_enough;
  outgoing->streamed = operation.streamed && !rpc && !repeatable;
  if (operation.streamed && !outgoing->streamed) {
    BodyReader rest = operation.rest;
    auto reading = rest.all(kMaxPayload, operation.deadline);
    CO_ASSIGN(const std::string more, co_await std::move(reading));
    outgoing->whole += more;
  }
  if (outgoing->streamed) callees_.body_streamed();
  if (rpc) outgoing->whole = rpc_message(operation, outgoing->whole);
  outgoing->keep = policy.retries();

  if (policy.is_none()) {
    auto trying = attempt(std::move(outgoing), operation.deadline);
    co_return co_await std::move(trying);
  }
  Callees::Waiting waiting(callees_);
  std::function<Task<Result<Answer>>(Deadline)> one = [&](Deadline until) { return attempt(outgoing, until); };
  std::function<sdk::Outcome(const Result<Answer>&)> classify = [&](const Result<Answer>& answer) {
    sdk::Outcome outcome = outcome_of_answer(answer);
    if (outgoing->streamed) outcome.permanent = true;  // it cannot be sent again
    if (outcome.error == Errc::kUnavailable) waiting.begin();
    return outcome;
  };
  auto running = policy.run<Answer>(std::move(one), std::move(classify), operation.deadline);
  co_return co_await std::move(running);
}

Task<Result<Answer>> InvokeService::attempt(std::shared_ptr<Outgoing> outgoing, Deadline deadline) {
  callees_.attempt_began();
  if (outgoing->callee.kind == Callee::Kind::kExternal) {
    auto calling = call_external(std::move(outgoing), deadline);
    co_return co_await std::move(calling);
  }
  net::Http1Client* const way =
      outgoing->callee.kind == Callee::Kind::kHttpApp ? local_apps_.way_to(outgoing->callee.name) : nullptr;
  if (way != nullptr) {
    auto calling = call_directly(*way, outgoing, deadline);
    Result<Answer> answer = co_await std::move(calling);
    // Nothing was sent: the gateway finds out what became of the app, and says so.
    if (answer || answer.error().code != Errc::kUnavailable) co_return answer;
  }
  auto calling = outgoing->streamed ? call_app_streaming(outgoing, deadline) : call_app(outgoing, deadline);
  co_return co_await std::move(calling);
}

Task<Result<Answer>> InvokeService::call_external(std::shared_ptr<Outgoing> outgoing, Deadline deadline) {
  auto calling = outgoing->callee.endpoint->call(outgoing->operation, outgoing->whole, outgoing->streamed, deadline);
  CO_ASSIGN(Answer answer, co_await std::move(calling));
  answer.keep = std::make_shared<std::pair<std::shared_ptr<Outgoing>, std::shared_ptr<void>>>(std::move(outgoing),
                                                                                              std::move(answer.keep));
  co_return answer;
}

Task<Result<Answer>> InvokeService::call_directly(net::Http1Client& way, std::shared_ptr<Outgoing> outgoing,
                                                  Deadline deadline) {
  auto call = std::make_shared<HttpCall>();
  call->path = outgoing->call.path;
  call->headers = outgoing->headers;
  call->keep = outgoing;
  return call_over_http(way, std::move(call), outgoing->operation, outgoing->whole, outgoing->streamed, deadline);
}

Task<Result<Answer>> InvokeService::call_app(std::shared_ptr<Outgoing> outgoing, Deadline deadline) {
  Buffer body = outgoing->keep ? Buffer::copy_of(outgoing->whole) : Buffer(std::move(outgoing->whole));
  auto calling = context_.call(outgoing->call, std::move(body), deadline);
  CO_ASSIGN(Reply reply, co_await std::move(calling));
  co_return answer_of(std::move(reply), outgoing->callee.kind == Callee::Kind::kRpcApp);
}

/// A body that cannot be kept is sent once: no retry, but timeout and breaker all the same.
Task<Result<Answer>> InvokeService::call_app_streaming(std::shared_ptr<Outgoing> outgoing, Deadline deadline) {
  auto upload = std::make_shared<Upload>(context_.loop());
  CO_ASSIGN(upload->open, context_.open_call(outgoing->call, Buffer::copy_of(outgoing->whole), deadline));
  upload->scope.spawn(pump(outgoing->operation.rest, std::move(upload->open->body), deadline));
  auto waiting = upload->open->reply(deadline);
  CO_ASSIGN(Reply reply, co_await std::move(waiting));
  Answer answer = answer_of(std::move(reply), false);
  answer.keep = std::move(upload);
  co_return answer;
}

}  // namespace caisson::invoke
