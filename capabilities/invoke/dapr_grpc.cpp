#include "capabilities/invoke/dapr_grpc.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/invoke/headers.hpp"
#include "capabilities/invoke/invocation.hpp"
#include "capabilities/invoke/status_codes.hpp"
#include "dapr/proto/common/v1/common.pb.h"
#include "dapr/proto/runtime/v1/invoke.pb.h"
#include "sdk/rpc.hpp"

namespace caisson::invoke {

namespace {

namespace common = ::dapr::proto::common::v1;
namespace runtime = ::dapr::proto::runtime::v1;

/// Of an HTTP answer's body; a message is a little longer than what it carries.
constexpr std::size_t kMostBody = kMaxPayload - 64 * 1024;
/// google.rpc.ErrorInfo: a value is at most 63 characters.
constexpr std::size_t kMostInfo = 63;
constexpr std::string_view kStatusHeader = "dapr-http-status";

sdk::RpcStatus plain(Errc code, std::string message) { return {code, std::move(message), {}}; }

/// The beginning of a text that fits an ErrorInfo, cut between characters. Nothing: it is no UTF-8.
std::optional<std::string> info_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    const bool valid = lead < 0x80 || (lead >= 0xC2 && lead < 0xF5 && text.size() >= size &&
                                       std::ranges::all_of(text.substr(1, size - 1), continues));
    if (!valid) return std::nullopt;
    if (out.size() + size > kMostInfo) break;
    out += text.substr(0, size);
    text.remove_prefix(size);
  }
  return out;
}

/// What an HTTP callee's refusal becomes: the body itself is not passed on.
sdk::RpcStatus status_of(std::uint16_t http_status, std::string_view body) {
  sdk::ApiError error;
  error.message = status_text(http_status);
  error.reason = error.message;
  const std::optional<std::string> shown = info_text(body);
  error.info = {{"http.code", std::to_string(http_status)}};
  if (shown) error.info.emplace_back("http.error_message", *shown);
  return sdk::rpc_status(rpc_code_of(http_status), error);
}

/// Why there is no answer; callers of daprd know it as INTERNAL, whatever it was.
sdk::RpcStatus no_answer(const std::string& id, const Error& error) {
  const Errc code =
      error.code == Errc::kInvalidArgument || error.code == Errc::kCancelled || error.code == Errc::kResourceExhausted
          ? error.code
          : Errc::kInternal;
  return plain(code, fmt::format("failed to invoke, id: {}, err: {}", id, error.message));
}

Operation operation_of(const sdk::Request& request, const runtime::InvokeServiceRequest& message, Invocation target,
                       const OwnedFields& headers, const std::string& verb) {
  const common::InvokeRequest& asked = message.message();
  Operation operation;
  operation.caller = request.app();
  operation.target = message.id();
  operation.path = std::move(target.path);
  operation.method = std::move(target.method);
  operation.rpc_method = asked.method();
  operation.verb = verb;
  operation.query = asked.http_extension().querystring();
  operation.content_type = asked.content_type();
  operation.headers = views_of(headers);
  if (!asked.content_type().empty()) operation.headers.push_back({"content-type", asked.content_type()});
  operation.traceparent = request.traceparent();
  operation.tracestate = request.tracestate();
  operation.hops = request.hops();
  operation.deadline = request.deadline();
  operation.body = asked.data().value();
  return operation;
}

/// What HTTP calls the verb; NONE and what is none are empty.
std::string verb_of(const common::InvokeRequest& message) {
  const common::HTTPExtension::Verb verb = message.http_extension().verb();
  if (verb == common::HTTPExtension::NONE || !common::HTTPExtension::Verb_IsValid(verb)) return {};
  return common::HTTPExtension::Verb_Name(verb);
}

/// The answer of a gRPC app: its message, status and trailers as they are.
sdk::Response pass_on(Answer answer) {
  sdk::Response response;
  response.status = answer.status;
  response.message = std::move(answer.message);
  for (const Field field : answer.headers) response.headers.emplace_back(field.name, field.value);
  for (const Field field : answer.trailers) response.trailers.emplace_back(field.name, field.value);
  response.body = std::move(answer.body);
  return response;
}

Task<sdk::Response> translated(const std::string& id, Answer& answer, Deadline deadline) {
  auto reading = whole_body(answer, kMostBody, deadline);
  Result<std::string> body = co_await std::move(reading);
  if (!body) co_return sdk::rpc_response(no_answer(id, body.error()));
  sdk::Response response;
  if (rpc_code_of(answer.status) == Errc::kOk) {
    common::InvokeResponse message;
    message.mutable_data()->set_value(*std::move(body));
    message.set_content_type(std::string(answer.header("content-type")));
    response = sdk::rpc_response(message);
  } else {
    response = sdk::rpc_response(status_of(answer.status, *body));
  }
  response.headers = metadata_of_headers(answer.headers);
  response.headers.emplace_back(kStatusHeader, std::to_string(answer.status));
  co_return response;
}

}  // namespace

void DaprGrpc::define(sdk::Definition& definition) {
  const Route route = sdk::dapr_rpc("InvokeService", "invoke", "v1");
  definition.route(route, [this](sdk::Request& request) { return invoke(request); });
}

Task<sdk::Response> DaprGrpc::invoke(sdk::Request& request) {
  runtime::InvokeServiceRequest message;
  const Result<void> parsed = sdk::parse_message(request.body(), message);
  if (!parsed) co_return sdk::rpc_response(plain(parsed.error().code, parsed.error().message));
  if (message.id().empty()) co_return sdk::rpc_response(plain(Errc::kInvalidArgument, "id: may not be empty"));
  if (!message.has_message()) co_return sdk::rpc_response(plain(Errc::kInvalidArgument, "message: is missing"));
  Result<Invocation> target = clean_path(message.message().method());
  if (!target) {
    co_return sdk::rpc_response(
        plain(Errc::kInvalidArgument, fmt::format("message.method: {}", target.error().message)));
  }
  std::vector<Field> metadata;
  for (const Field field : request.headers()) metadata.push_back(field);
  const OwnedFields headers = headers_of_metadata(metadata);
  const std::string verb = verb_of(message.message());
  const Operation operation = operation_of(request, message, *std::move(target), headers, verb);
  auto invoking = service_.invoke(operation);
  Result<Answer> answer = co_await std::move(invoking);
  if (!answer) co_return sdk::rpc_response(no_answer(message.id(), answer.error()));
  if (answer->rpc) co_return pass_on(*std::move(answer));
  auto translating = translated(message.id(), *answer, request.deadline());
  co_return co_await std::move(translating);
}

}  // namespace caisson::invoke
