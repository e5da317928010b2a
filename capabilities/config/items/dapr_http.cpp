#include "capabilities/config/items/dapr_http.hpp"

#include <fmt/format.h>

#include "bus/json_writer.hpp"
#include "capabilities/config/items/dapr_errors.hpp"
#include "capabilities/config/items/items_json.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::items {

namespace {

Route configuration_route(const std::string& version, const std::string& path) {
  Route route;
  route.method = "GET";
  route.path = fmt::format("/{}/configuration/{{store}}{}", version, path);
  route.selector = "store";
  route.group = "configuration";
  route.version = version;
  route.unavailable.status = 500;
  route.unavailable.message = "the config capability is not available at the moment";
  return route;
}

std::vector<std::string> keys_of(const sdk::Request& request) {
  std::vector<std::string> keys;
  for (auto& [name, value] : sdk::parse_query(request.query())) {
    if (name == "key") keys.push_back(std::move(value));
  }
  return keys;
}

}  // namespace

void DaprHttp::define(sdk::Definition& definition) {
  for (const std::string version : {"v1.0", "v1.0-alpha1"}) {
    Route get_route = configuration_route(version, "");
    get_route.safe = true;
    get_route.unavailable.code = "ERR_CONFIGURATION_GET";
    definition.route(std::move(get_route), [this](sdk::Request& request) { return get(request); });

    // Asked again, it takes the place of what the first try made: nobody is told twice.
    Route subscribe_route = configuration_route(version, "/subscribe");
    subscribe_route.safe = true;
    subscribe_route.unavailable.code = "ERR_CONFIGURATION_SUBSCRIBE";
    definition.route(std::move(subscribe_route), [this](sdk::Request& request) { return subscribe(request); });

    Route unsubscribe_route = configuration_route(version, "/{id}/unsubscribe");
    unsubscribe_route.unavailable.code = "ERR_CONFIGURATION_UNSUBSCRIBE";
    definition.route(std::move(unsubscribe_route), [this](sdk::Request& request) { return unsubscribe(request); });
  }
}

Task<sdk::Response> DaprHttp::get(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  const std::vector<std::string> keys = keys_of(request);
  auto task = service_.get(std::string(request.app()), store, keys, request.deadline());
  const Answered<Items> answer = co_await std::move(task);
  if (answer.refused) {
    co_return sdk::error_response(dapr_errors::not_read(*answer.refused, store, keys));
  }
  if (answer.value.empty()) co_return sdk::no_content();
  co_return sdk::json_response(items_json(answer.value));
}

Task<sdk::Response> DaprHttp::subscribe(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  const std::vector<std::string> keys = keys_of(request);
  auto task = service_.subscribe(std::string(request.app()), store, keys, request.deadline());
  const Answered<std::string> answer = co_await std::move(task);
  if (answer.refused) {
    co_return sdk::error_response(dapr_errors::not_subscribed(*answer.refused, store, keys));
  }
  JsonWriter json;
  json.begin_object().key("id").value(answer.value).end_object();
  co_return sdk::json_response(json.take());
}

Task<sdk::Response> DaprHttp::unsubscribe(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  const std::string id(request.parameter("id"));
  auto task = service_.unsubscribe(std::string(request.app()), store, id, /*streamed=*/false, request.deadline());
  const Answered<bool> answer = co_await std::move(task);
  JsonWriter json;
  if (!answer.refused) {
    json.begin_object().key("ok").value(true).end_object();
    co_return sdk::json_response(json.take());
  }
  if (answer.refused->why != Refusal::kFailed) {
    co_return sdk::error_response(dapr_errors::not_unsubscribed(*answer.refused, store));
  }
  json.begin_object().key("message").value(answer.refused->message).end_object();
  sdk::Response response = sdk::json_response(json.take());
  response.status = 500;
  co_return response;
}

}  // namespace caisson::items
