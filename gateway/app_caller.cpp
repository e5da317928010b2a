#include "gateway/app_caller.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/tls.hpp"

namespace caisson::gateway {

namespace {

bool has_header(const std::vector<Field>& headers, std::string_view name) {
  return std::ranges::any_of(headers, [&](const Field& field) { return equal_ignoring_case(field.name, name); });
}

/// The app's certificate is not checked, as daprd does not: it is for a name that nobody dials here.
Result<net::TlsFactory> tls_to(const AppConfig& config, std::string protocol) {
  net::TlsOptions options;
  options.verify = false;
  options.protocols = {std::move(protocol)};
  ASSIGN(auto context, net::TlsContext::make(options));
  auto shared = std::make_shared<net::TlsContext>(std::move(context));
  return net::TlsFactory([shared, host = config.app_channel_address] { return shared->session(host); });
}

}  // namespace

bool is_rpc_call(const Frame& call) {
  constexpr std::string_view kType = "application/grpc";
  const std::string_view type = call.headers().get("content-type");
  if (type.size() < kType.size() || !equal_ignoring_case(type.substr(0, kType.size()), kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

std::vector<Field> headers_for_app(const Frame& call, const AppConfig& config) {
  std::vector<Field> headers;
  for (const Field field : call.headers()) {
    if (!equal_ignoring_case(field.name, kAppTokenHeader)) headers.push_back(field);
  }
  if (!config.app_token.empty()) headers.push_back({kAppTokenHeader, config.app_token});
  const std::string_view trace = text(call->traceparent());
  if (!trace.empty() && !has_header(headers, "traceparent")) {
    headers.push_back({"traceparent", trace});
    if (const std::string_view state = text(call->tracestate()); !state.empty()) {
      headers.push_back({"tracestate", state});
    }
  }
  return headers;
}

Result<std::unique_ptr<AppCaller>> make_app_caller(EventLoop& loop, const AppConfig& config,
                                                   std::function<void()> hung_up) {
  const std::string& protocol = config.app_protocol;
  if (protocol == "http") return make_http1_caller(loop, config, nullptr, std::move(hung_up));
  if (protocol == "h2c") return make_http2_caller(loop, config, nullptr, std::move(hung_up));
  if (protocol == "grpc") return make_rpc_caller(loop, config, nullptr, std::move(hung_up));
  if (protocol == "https") {
    ASSIGN(auto tls, tls_to(config, "http/1.1"));
    return make_http1_caller(loop, config, std::move(tls), std::move(hung_up));
  }
  if (protocol == "grpcs") {
    ASSIGN(auto tls, tls_to(config, "h2"));
    return make_rpc_caller(loop, config, std::move(tls), std::move(hung_up));
  }
  return Error{Errc::kUnimplemented,
               fmt::format("--app-protocol {} is none of http, https, h2c, grpc and grpcs", protocol)};
}

}  // namespace caisson::gateway
