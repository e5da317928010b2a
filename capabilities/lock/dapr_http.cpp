#include "capabilities/lock/dapr_http.hpp"

#include <fmt/format.h>

#include "bus/json_writer.hpp"
#include "capabilities/lock/codec.hpp"
#include "capabilities/lock/dapr_json.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::lock {

namespace {

Route route_of(const std::string& what) {
  Route route;
  route.method = "POST";
  route.path = fmt::format("/v1.0-alpha1/{}/{{store}}", what);
  route.ledgered = true;
  route.body_limit = kMostRequestBytes;
  route.selector = "store";
  route.group = what;
  route.version = "v1.0-alpha1";
  route.too_large = {400, "ERR_BODY_READ", "failed to read request body: the body is too large"};
  return route;
}

sdk::Response malformed(const Error& error) {
  sdk::ApiError answer;
  answer.status = 400;
  answer.code = "ERR_MALFORMED_REQUEST";
  answer.message = fmt::format("failed deserializing HTTP body: {}", error.message);
  return sdk::error_response(answer);
}

}  // namespace

void DaprHttp::define(sdk::Definition& definition) {
  definition.route(route_of("lock"), [this](sdk::Request& request) { return try_lock(request); });
  definition.route(route_of("unlock"), [this](sdk::Request& request) { return unlock(request); });
}

Task<sdk::Response> DaprHttp::try_lock(sdk::Request& request) {
  auto lock = parse_try_lock(request.body());
  if (!lock) co_return malformed(lock.error());
  lock->store = request.parameter("store");
  auto task = service_.try_lock(*std::move(lock), caller_of(request));
  const Answered<bool> answer = co_await std::move(task);
  count(counters_, Action::kTake, answer.refused, answer.value);
  if (answer.refused) co_return sdk::error_response(api_error(*answer.refused, Action::kTake));
  JsonWriter json;
  json.begin_object().key("success").value(answer.value).end_object();
  co_return sdk::json_response(json.take());
}

Task<sdk::Response> DaprHttp::unlock(sdk::Request& request) {
  auto unlock = parse_unlock(request.body());
  if (!unlock) co_return malformed(unlock.error());
  unlock->store = request.parameter("store");
  auto task = service_.unlock(*std::move(unlock), caller_of(request));
  const Answered<Unlocked> answer = co_await std::move(task);
  count(counters_, Action::kRelease, answer.refused, answer.value == Unlocked::kDone);
  if (answer.refused) co_return sdk::error_response(api_error(*answer.refused, Action::kRelease));
  JsonWriter json;
  json.begin_object().key("status").value(static_cast<int>(answer.value)).end_object();
  co_return sdk::json_response(json.take());
}

}  // namespace caisson::lock
