#include "capabilities/invoke/dapr_http.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sdk/http_reply.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kCode = "ERR_DIRECT_INVOKE";

/// CONNECT and unknown methods are refused.
bool is_carried(std::string_view method) {
  constexpr std::array<std::string_view, 8> kMethods = {"GET",   "HEAD",   "POST",    "PUT",
                                                        "PATCH", "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

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
  if (!is_carried(request.method())) {
    co_await refuse(request, 400, fmt::format("the method {} cannot be invoked", request.method()));
    co_return;
  }
  const Result<void> carried = co_await service_.carry(request, invocation);
  if (carried || carried.error().code == Errc::kCancelled) co_return;
  co_await refuse(request, 500,
                  fmt::format("failed to invoke, id: {}, err: {}", invocation.app, carried.error().message));
}

}  // namespace caisson::invoke
