#include "capabilities/invoke/dapr_http.hpp"

#include <fmt/format.h>

#include <charconv>

#include "bus/json_writer.hpp"
#include "capabilities/invoke/headers.hpp"
#include "capabilities/invoke/invocation.hpp"
#include "capabilities/invoke/status_codes.hpp"
#include "dapr/proto/common/v1/common.pb.h"
#include "sdk/http_reply.hpp"
#include "sdk/rpc.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kCode = "ERR_DIRECT_INVOKE";

Route invoke_route() {
  Route route;
  route.method = "*";
  route.streaming = true;
  route.group = "invoke";
  route.version = "v1.0";
  route.too_large = {500, std::string(kCode), "the request's body is too large"};
  route.unavailable = {500, std::string(kCode), "the invoke capability is not available at the moment"};
  return route;
}

Task<void> refuse(sdk::Request& request, std::uint16_t status, std::string message) {
  sdk::ApiError error;
  error.status = status;
  error.code = kCode;
  error.message = std::move(message);
  sdk::Response response = sdk::error_response(error);
  [[maybe_unused]] const auto sent = co_await request.reply(std::move(response));
}

std::optional<std::uint64_t> content_length(Fields headers) {
  const std::string_view text = headers.get("content-length");
  std::uint64_t length = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return length;
}

Operation operation_of(sdk::Request& request, const Invocation& invocation) {
  Operation operation;
  operation.caller = request.app();
  operation.target = invocation.app;
  operation.path = invocation.path;
  operation.method = invocation.method;
  operation.rpc_method = invocation.method;
  operation.verb = request.method();
  operation.query = request.query();
  operation.content_type = request.header("content-type");
  operation.streamed = request.frame().streamed();
  operation.headers = request_headers(request.headers(), /*keep_length=*/operation.streamed);
  operation.traceparent = request.traceparent();
  operation.tracestate = request.tracestate();
  operation.hops = request.hops();
  operation.deadline = request.deadline();
  operation.body = request.body();
  if (!operation.streamed) return operation;
  operation.rest = request.incoming().rest();
  operation.length = content_length(request.headers());
  return operation;
}

/// An HTTP callee's answer: status, headers and body as they are.
Task<Result<void>> pass_on(sdk::Request& request, Answer& answer) {
  Envelope head;
  head.status = answer.status;
  head.headers = answer.headers;
  Incoming& incoming = request.incoming();
  if (!answer.next) {
    auto replying = incoming.reply(head, std::move(answer.body));
    co_return co_await std::move(replying);
  }
  auto beginning = incoming.reply_streamed(head, std::move(answer.body));
  CO_ASSIGN(BodyWriter writer, co_await std::move(beginning));
  while (true) {
    auto reading = answer.next(incoming.deadline());
    Result<std::optional<Buffer>> piece = co_await std::move(reading);
    if (!piece) {
      writer.fail(std::move(piece).error());
      co_return ok();
    }
    if (!*piece) break;
    auto writing = writer.write(std::move(**piece), incoming.deadline());
    const Result<void> written = co_await std::move(writing);
    if (!written) co_return ok();  // the caller has gone
  }
  auto ending = writer.finish(incoming.deadline());
  co_return co_await std::move(ending);
}

/// google.rpc.Status as JSON; its details are for callers that speak gRPC.
std::string status_json(const Answer& answer) {
  JsonWriter json;
  json.begin_object().key("code").value(static_cast<int>(answer.status));
  if (!answer.message.empty()) json.key("message").value(answer.message);
  return json.end_object().take();
}

/// A gRPC callee's answer to one who speaks HTTP.
Result<sdk::Response> translated(const Answer& answer) {
  sdk::Response response;
  response.headers = headers_of_metadata(answer.headers);
  response.status = http_status_of(answer.status > 16 ? Errc::kUnknown : static_cast<Errc>(answer.status));
  if (answer.status != 0) {
    response.headers.emplace_back("content-type", "application/json");
    response.body = Buffer(status_json(answer));
    return response;
  }
  ::dapr::proto::common::v1::InvokeResponse message;
  if (!sdk::parse_message(answer.body.view(), message)) {
    return Error{Errc::kInternal, "the app answered with something that is no InvokeResponse"};
  }
  const bool typed = !message.content_type().empty();
  response.headers.emplace_back("content-type", typed ? message.content_type() : "application/json");
  response.body = Buffer(std::move(*message.mutable_data()->mutable_value()));
  return response;
}

}  // namespace

void DaprHttp::define(sdk::Definition& definition) {
  const sdk::StreamHandler handler = [this](sdk::Request request) { return serve(std::move(request)); };
  Route by_path = invoke_route();
  by_path.path = "/v1.0/invoke/{target...}";
  definition.stream_route(by_path, handler);
  Route fallback = invoke_route();
  fallback.fallback = true;
  definition.stream_route(fallback, handler);
}

Task<void> DaprHttp::serve(sdk::Request request) {
  const Result<std::optional<Invocation>> found = find_invocation(request.path(), request.headers());
  if (!found) {
    co_await refuse(request, 400, fmt::format("invalid invocation: {}", found.error().message));
    co_return;
  }
  if (!*found) {
    co_await refuse(request, 404, "failed getting app id either from the URL path or the header dapr-app-id");
    co_return;
  }
  const Invocation& invocation = **found;
  if (!is_verb(request.method())) {
    co_await refuse(request, 400, fmt::format("the method {} cannot be invoked", request.method()));
    co_return;
  }
  const Operation operation = operation_of(request, invocation);
  auto invoking = service_.invoke(operation);
  Result<Answer> answer = co_await std::move(invoking);
  Result<void> passed = ok();
  if (!answer) {
    passed = answer.error();
  } else if (!answer->rpc) {
    auto passing = pass_on(request, *answer);
    passed = co_await std::move(passing);
  } else {
    Result<sdk::Response> response = translated(*answer);
    if (!response) {
      passed = response.error();
    } else {
      auto replying = request.reply(*std::move(response));
      passed = co_await std::move(replying);
    }
  }
  if (passed || passed.error().code == Errc::kCancelled) co_return;
  const std::uint16_t status = passed.error().code == Errc::kPermissionDenied ? 403 : 500;
  co_await refuse(request, status,
                  fmt::format("failed to invoke, id: {}, err: {}", invocation.app, passed.error().message));
}

}  // namespace caisson::invoke
