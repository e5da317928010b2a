#include "gateway/runtime/runtime_capability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bus/json_writer.hpp"
#include "gateway/runtime/missing_blocks.hpp"
#include "gateway/runtime/reflection.hpp"
#include "sdk/component_set.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kNotReady = "ERR_HEALTH_NOT_READY";
constexpr Nanos kObserveInterval = std::chrono::milliseconds(100);

Route route_of(std::string method, std::string path, std::string group) {
  Route route;
  route.method = std::move(method);
  route.path = std::move(path);
  route.group = std::move(group);
  route.version = "v1.0";
  route.safe = true;
  return route;
}

sdk::Response refused(std::string_view code, std::string message) {
  sdk::ApiError error;
  error.status = 500;
  error.code = code;
  error.message = std::move(message);
  return sdk::error_response(error);
}

/// The parts of a comma-separated list, empty ones left out.
std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

}  // namespace

RuntimeCapability::RuntimeCapability(sdk::Context& context, Facts& facts)
    : facts_(facts),
      health_(facts),
      observe_timer_(context.loop(), [this] { observe(); }),
      shutdown_timer_(context.loop(), [this] { facts_.shut_down(force_); }) {}

void RuntimeCapability::define(sdk::Definition& definition) {
  definition.manifest().takes_config = false;
  definition.route(route_of("GET", "/v1.0/metadata", "metadata"), [this](sdk::Request& r) { return get_metadata(r); });
  definition.route(route_of("PUT", "/v1.0/metadata/{key}", "metadata"),
                   [this](sdk::Request& r) { return put_metadata(r); });
  Route healthz = route_of("GET", "/v1.0/healthz", "healthz");
  healthz.open = true;
  definition.route(std::move(healthz), [this](sdk::Request& r) { return get_health(r); });
  Route outbound = route_of("GET", "/v1.0/healthz/outbound", "healthz");
  outbound.open = true;
  definition.route(std::move(outbound), [this](sdk::Request& r) { return get_outbound_health(r); });
  definition.route(route_of("POST", "/v1.0/shutdown", "shutdown"), [this](sdk::Request& r) { return shut_down(r); });
  define_rpcs(definition);
  define_reflection(definition);
  define_missing_blocks(definition);
}

void RuntimeCapability::start() { observe(); }

/// Looks until it has latched: what was true between two questions must not be forgotten.
void RuntimeCapability::observe() {
  health_.observe();
  if (!health_.latched()) observe_timer_.start_after(kObserveInterval);
}

Task<sdk::Response> RuntimeCapability::get_metadata(sdk::Request& request) {
  co_return sdk::json_response(render_metadata(facts_, request.app(), attributes_));
}

Task<sdk::Response> RuntimeCapability::put_metadata(sdk::Request& request) {
  const Result<void> kept =
      attributes_.put(request.app(), std::string(request.parameter("key")), std::string(request.body()));
  if (!kept) co_return refused("ERR_METADATA_PUT", kept.error().message);
  co_return sdk::no_content();
}

Task<sdk::Response> RuntimeCapability::get_health(sdk::Request& request) {
  health_.observe();
  std::string require;
  bool required_given = false;
  for (const auto& [name, value] : sdk::parse_query(request.query())) {
    if (name == "appid" && !value.empty() && value != request.app()) {
      co_return refused("ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match");
    }
    if (name == "require") {
      require += "," + value;
      required_given = true;
    }
  }
  const std::string reason = health_.not_ready_reason(request.app());
  if (!reason.empty()) co_return refused(kNotReady, "dapr is not ready: " + reason);
  if (required_given) co_return required(require, request.app());
  co_return sdk::no_content();
}

sdk::Response RuntimeCapability::required(std::string_view names, std::string_view app) const {
  const std::vector<Health::Part> parts = health_.check(split(names), app);
  const bool all = std::ranges::all_of(parts, [](const Health::Part& part) { return part.reason.empty(); });
  if (all) return sdk::no_content();
  std::string message = "dapr is not ready:";
  JsonWriter json;
  json.begin_array();
  for (const Health::Part& part : parts) {
    json.begin_object().key("name").value(part.name).key("ready").value(part.reason.empty());
    if (!part.reason.empty()) {
      json.key("reason").value(part.reason);
      message += fmt::format(" {}: {};", part.name, part.reason);
    }
    json.end_object();
  }
  json.end_array();
  message.pop_back();

  JsonWriter body;
  body.begin_object().key("errorCode").value(kNotReady).key("message").value(message);
  body.key("required").raw(json.text()).end_object();
  sdk::Response response = sdk::json_response(body.take());
  response.status = 500;
  return response;
}

Task<sdk::Response> RuntimeCapability::get_outbound_health(sdk::Request&) {
  if (facts_.shutting_down()) {
    co_return refused("ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready: the runtime is shutting down");
  }
  co_return sdk::no_content();
}

Task<sdk::Response> RuntimeCapability::shut_down(sdk::Request& request) {
  force_ = force_ || sdk::is_truthy(request.header("dapr-force-shutdown"));
  shutdown_timer_.start_after(kShutdownDelay);
  co_return sdk::no_content();
}

}  // namespace caisson::gateway
