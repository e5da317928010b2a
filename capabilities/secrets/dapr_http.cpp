#include "capabilities/secrets/dapr_http.hpp"

#include <fmt/format.h>

#include "bus/json_writer.hpp"
#include "capabilities/secrets/dapr_errors.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::secrets {

namespace {

Route secrets_route(std::string path) {
  Route route;
  route.method = "GET";
  route.path = std::move(path);
  route.safe = true;
  route.selector = "store";
  route.group = "secrets";
  route.version = "v1.0";
  route.unavailable = {500, "ERR_SECRET_GET", "the secrets capability is not available at the moment"};
  return route;
}

void write(JsonWriter& json, const Secret& secret) {
  json.begin_object();
  for (const auto& [key, value] : secret) json.key(key).value(value);
  json.end_object();
}

}  // namespace

void DaprHttp::define(sdk::Definition& definition) {
  definition.route(secrets_route("/v1.0/secrets/{store}/bulk"),
                   [this](sdk::Request& request) { return get_bulk(request); });
  definition.route(secrets_route("/v1.0/secrets/{store}/{key}"),
                   [this](sdk::Request& request) { return get(request); });
}

Task<sdk::Response> DaprHttp::get(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  const std::string key(request.parameter("key"));
  Answered<Secret> answer = co_await service_.get(std::string(request.app()), store, key, request.deadline());
  if (answer.refused)
    co_return sdk::error_response(api_error(*answer.refused, store, fmt::format("secret with key {}", key)));
  if (answer.value.empty()) co_return sdk::no_content();
  JsonWriter json(HtmlEscape::kYes);
  write(json, answer.value);
  wipe(answer.value);
  co_return sdk::json_response(json.take());
}

Task<sdk::Response> DaprHttp::get_bulk(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  Answered<Secrets> answer = co_await service_.get_all(std::string(request.app()), store, request.deadline());
  if (answer.refused) co_return sdk::error_response(api_error(*answer.refused, store, "all secrets"));
  if (answer.value.empty()) co_return sdk::no_content();
  JsonWriter json(HtmlEscape::kYes);
  json.begin_object();
  for (const auto& [name, secret] : answer.value) {
    json.key(name);
    write(json, secret);
  }
  json.end_object();
  wipe(answer.value);
  co_return sdk::json_response(json.take());
}

}  // namespace caisson::secrets
