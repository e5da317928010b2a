#include "capabilities/config/items/dapr_http.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bus/json_writer.hpp"
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

sdk::Response refuse(const Refused& refused, const std::string& store, const char* failed_code,
                     const std::string& failed_message) {
  sdk::ApiError error;
  switch (refused.why) {
    case Refusal::kNoStores:
      error.code = "ERR_CONFIGURATION_STORE_NOT_CONFIGURED";
      error.message = "configuration stores not configured";
      break;
    case Refusal::kUnknownStore:
      error.status = 400;
      error.code = "ERR_CONFIGURATION_STORE_NOT_FOUND";
      error.message = fmt::format("configuration store {} not found", store);
      break;
    case Refusal::kNoAppChannel:
      error.code = "ERR_APP_CHANNEL_NIL";
      error.message = "app channel is not initialized";
      break;
    case Refusal::kFailed:
      error.code = failed_code;
      error.message = fmt::format("{}: {}", failed_message, refused.message);
      break;
  }
  return sdk::error_response(error);
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
    co_return refuse(*answer.refused, store, "ERR_CONFIGURATION_GET",
                     fmt::format("failed to get [{}] from Configuration store {}", fmt::join(keys, " "), store));
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
    co_return refuse(*answer.refused, store, "ERR_CONFIGURATION_SUBSCRIBE",
                     fmt::format("failed to subscribe [{}] from Configuration store {}", fmt::join(keys, " "), store));
  }
  JsonWriter json;
  json.begin_object().key("id").value(answer.value).end_object();
  co_return sdk::json_response(json.take());
}

Task<sdk::Response> DaprHttp::unsubscribe(sdk::Request& request) {
  const std::string store(request.parameter("store"));
  const std::string id(request.parameter("id"));
  auto task = service_.unsubscribe(std::string(request.app()), store, id, request.deadline());
  const Answered<bool> answer = co_await std::move(task);
  JsonWriter json;
  if (!answer.refused) {
    json.begin_object().key("ok").value(true).end_object();
    co_return sdk::json_response(json.take());
  }
  if (answer.refused->why != Refusal::kFailed) co_return refuse(*answer.refused, store, "", "");
  json.begin_object().key("message").value(answer.refused->message).end_object();
  sdk::Response response = sdk::json_response(json.take());
  response.status = 500;
  co_return response;
}

}  // namespace caisson::items
