#include "capabilities/invoke/rpc_proxy.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/invoke/headers.hpp"
#include "sdk/component_set.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kCallee = "dapr-callee-app-id";
constexpr std::string_view kApp = "dapr-app-id";
constexpr std::string_view kStream = "dapr-stream";

/// A segment that another reader of the path could take away.
bool has_odd_segment(std::string_view path) {
  const std::string closed = std::string(path) + '/';
  return closed.find("//") != std::string::npos || closed.find("/./") != std::string::npos ||
         closed.find("/../") != std::string::npos;
}

/// "/package.Service/Method", without what no path may have: access lists must see what the app sees.
Result<void> check_method(std::string_view path) {
  const bool bad =
      path.size() < 2 || path.front() != '/' || has_odd_segment(path) || std::ranges::any_of(path, [](char c) {
        return c == '#' || c == '?' || static_cast<unsigned char>(c) <= ' ' || c == 0x7F;
      });
  if (!bad) return ok();
  return Error{Errc::kInvalidArgument, "the method's name is no /package.Service/Method"};
}

}  // namespace

/// The call as every attempt sends it.
struct RpcProxy::Call {
  Call(sdk::Request& request, std::string app, std::string_view own_namespace, bool one_message)
      : caller(request.app()),
        callee(std::move(app)),
        body(request.body(), request.incoming().rest(), request.frame().streamed(), one_message) {
    metadata = proxied_metadata(request.headers());
    metadata.push_back({"content-type", "application/grpc"});
    add_identity(metadata, caller, own_namespace, callee);
    call.target = "app";
    call.app = callee;
    call.method = "POST";
    call.path = request.path();
    call.traceparent = request.traceparent();
    call.tracestate = request.tracestate();
    call.hops = static_cast<std::uint8_t>(request.hops() + 1);
    call.headers = metadata;
  }
  Call(const Call&) = delete;  // `call` points into this
  Call& operator=(const Call&) = delete;

  std::string caller;
  std::string callee;
  ReplayedBody body;
  std::vector<Field> metadata;
  Envelope call;
  /// The caller said that this is a stream: policies are for its beginning only.
  bool stream = false;
};

/// An app's answer as far as an attempt looks into it: to its first message, or to its end.
struct RpcProxy::Answered {
  explicit Answered(EventLoop& loop) : upload(loop) {}

  /// gRPC's, where the answer ended without a message.
  [[nodiscard]] std::optional<std::uint16_t> status() const {
    if (!reply->head.streamed()) return reply->head->status();
    if (first) return std::nullopt;
    return reply->rest.end().status;
  }

  TaskScope upload;
  std::optional<OpenCall> open;
  std::optional<Reply> reply;
  bool looked = false;          // `first` is what came next
  std::optional<Buffer> first;  // nothing: it ended
  Deadline deadline = Deadline::never();
};

void RpcProxy::define(sdk::Definition& definition) {
  Route route;
  route.rpc = Rpc::kStream;
  route.fallback = true;
  route.streaming = true;
  route.errors = ErrorShape::kGrpc;
  definition.stream_route(route, [this](sdk::Request request) { return serve(std::move(request)); });
}

Task<void> RpcProxy::serve(sdk::Request request) {
  auto carrying = carry(request);
  const Result<void> carried = co_await std::move(carrying);
  if (carried || carried.error().code == Errc::kCancelled) co_return;
  Error error = carried.error();
  auto telling = request.incoming().reply_error(std::move(error));
  [[maybe_unused]] const auto told = co_await std::move(telling);
}

/// An error: nothing has been answered.
Task<Result<void>> RpcProxy::carry(sdk::Request& request) {
  std::string target(request.header(kCallee));
  if (target.empty()) target = request.header(kApp);
  if (target.empty()) {
    co_return Error{Errc::kUnknown,
                    fmt::format("failed to proxy request: required metadata {} or {} not found", kCallee, kApp)};
  }
  CO_TRY(check_method(request.path()));
  callees_.invocation_began();
  const std::string caller(request.app());
  const std::string method(request.path());
  Result<Callee> callee = callees_.find(target, caller);
  if (!callee) callee = Error{Errc::kUnknown, fmt::format("failed to proxy request: {}", callee.error().message)};
  if (callee && callee->kind != Callee::Kind::kRpcApp) {
    callee = Error{Errc::kFailedPrecondition, fmt::format("failed to proxy request: '{}' does not speak gRPC", target)};
  }
  if (callee && request.hops() >= kMaxHops) {
    callee = Error{Errc::kFailedPrecondition, "the request was passed on too often"};
  }
  if (callee) {
    const Result<void> allowed = callees_.check_access(caller, *callee, method, {});
    if (!allowed) callee = allowed.error();
  }
  if (!callee) {
    callees_.invocation_ended(true, {});
    co_return std::move(callee).error();
  }
  const sdk::Policy policy = callees_.policy_for(caller, *callee, method);
  const bool stream = sdk::is_truthy(request.header(kStream));
  const bool one_message = policy.retries() && !policy.built_in() && !stream;
  Call call(request, callee->name, callees_.own_namespace(), one_message);
  call.stream = stream;
  auto carrying = carry_under(request, call, policy);
  Result<void> carried = co_await std::move(carrying);
  callees_.invocation_ended(!carried, policy);
  co_return carried;
}

Task<Result<void>> RpcProxy::carry_under(sdk::Request& request, Call& call, const sdk::Policy& policy) {
  Callees::Waiting waiting(callees_);
  const Deadline overall = request.deadline();
  std::function<Task<Result<std::shared_ptr<Answered>>>(Deadline)> one = [&](Deadline until) {
    return attempt(call, call.stream ? overall : until);
  };
  std::function<sdk::Outcome(const Result<std::shared_ptr<Answered>>&)> classify =
      [&](const Result<std::shared_ptr<Answered>>& answered) {
        sdk::Outcome outcome;
        if (!answered) {
          outcome = outcome_of(answered.error());
          // Only what did not even begin is the business of a stream's policy.
          if (call.stream && outcome.error != Errc::kUnavailable) outcome.permanent = true;
        } else if (const auto status = (*answered)->status(); status && *status != 0 && !call.stream) {
          outcome.failed = true;
          outcome.code = *status;
        }
        if (!call.body.repeatable()) outcome.permanent = true;
        if (outcome.error == Errc::kUnavailable) waiting.begin();
        return outcome;
      };
  auto running = policy.run<std::shared_ptr<Answered>>(std::move(one), std::move(classify), overall);
  const Result<std::shared_ptr<Answered>> answered = co_await std::move(running);
  if (call.body.refused()) co_return ReplayedBody::refusal();
  if (!answered) co_return answered.error();
  call.body.settle();
  auto passing = pass_on(request, call, **answered);
  co_return co_await std::move(passing);
}

/// Waits until something of the answer is there that shows whether it is one: of a stream its head.
Task<Result<std::shared_ptr<RpcProxy::Answered>>> RpcProxy::attempt(Call& call, Deadline deadline) {
  callees_.attempt_began();
  auto answered = std::make_shared<Answered>(context_.loop());
  answered->deadline = deadline;
  CO_ASSIGN(answered->open, context_.open_call(call.call, Buffer(), deadline));
  answered->upload.spawn(call.body.send(std::move(answered->open->body), deadline));
  auto waiting = answered->open->reply(deadline);
  CO_ASSIGN(answered->reply, co_await std::move(waiting));
  if (call.stream || !answered->reply->head.streamed()) co_return answered;
  auto looking = answered->reply->rest.next(deadline);
  CO_ASSIGN(answered->first, co_await std::move(looking));
  answered->looked = true;
  co_return answered;
}

/// An error: nothing has been answered.
Task<Result<void>> RpcProxy::pass_on(sdk::Request& request, Call& call, Answered& answered) {
  Reply& reply = *answered.reply;
  const std::vector<Field> metadata = answered_metadata(reply.head.headers());
  std::vector<Field> trailers;
  for (const Field field : Fields(reply.head->trailers())) trailers.push_back(field);
  Envelope head;
  head.status = reply.head->status();
  head.message = text(reply.head->message());
  head.headers = metadata;
  head.trailers = trailers;
  const bool streamed = reply.head.streamed();
  // What the envelope says is needed until it is sent; the payload keeps its memory.
  Buffer payload = std::move(reply.head).into_payload();
  if (!streamed) {
    auto replying = request.incoming().reply(head, std::move(payload));
    co_return co_await std::move(replying);
  }
  auto beginning = request.incoming().reply_streamed(head, std::move(payload));
  CO_ASSIGN(BodyWriter writer, co_await std::move(beginning));
  std::optional<Buffer> piece = std::move(answered.first);
  bool here = answered.looked;
  while (true) {
    if (!here) {
      auto reading = reply.rest.next(answered.deadline);
      Result<std::optional<Buffer>> next = co_await std::move(reading);
      if (!next) {
        writer.fail(call.body.refused() ? ReplayedBody::refusal() : std::move(next).error());
        co_return ok();
      }
      piece = *std::move(next);
    }
    here = false;
    if (!piece) break;
    auto writing = writer.write(*std::move(piece), request.deadline());
    const Result<void> written = co_await std::move(writing);
    if (!written) co_return ok();  // the caller has gone
  }
  BodyEnd end = reply.rest.end();
  auto ending = writer.finish(request.deadline(), std::move(end));
  co_return co_await std::move(ending);
}

}  // namespace caisson::invoke
