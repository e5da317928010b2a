#include "bus/manifest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <iterator>

#include "bus/json_fields.hpp"
#include "bus/json_writer.hpp"

namespace caisson {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::string_view kShapes[] = {"dapr-json", "grpc", "text"};
constexpr std::string_view kRpcs[] = {"none", "unary", "stream"};

Error bad(std::string_view field, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("manifest: field '{}' {}", field, what)};
}

void write_names(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  if (names.empty()) return;
  json.key(key).begin_array();
  for (const auto& name : names) json.value(name);
  json.end_array();
}

void write_flag(JsonWriter& json, std::string_view key, bool set) {
  if (set) json.key(key).value(true);
}

void write_text(JsonWriter& json, std::string_view key, std::string_view text) {
  if (!text.empty()) json.key(key).value(text);
}

void write_error(JsonWriter& json, std::string_view key, const GatewayError& error) {
  if (error.status == 0) return;
  json.key(key).begin_object();
  json.key("status").value(static_cast<std::uint64_t>(error.status));
  json.key("code").value(error.code).key("message").value(error.message).end_object();
}

void write_route(JsonWriter& json, const Route& route) {
  json.begin_object();
  json.key("number").value(static_cast<std::uint64_t>(route.number));
  if (route.rpc != Rpc::kNone) json.key("rpc").value(kRpcs[static_cast<std::size_t>(route.rpc)]);
  write_text(json, "method", route.method);
  write_text(json, "path", route.path);
  write_flag(json, "safe", route.safe);
  write_flag(json, "ledgered", route.ledgered);
  write_flag(json, "streaming", route.streaming);
  write_flag(json, "resumable", route.resumable);
  write_flag(json, "fallback", route.fallback);
  write_flag(json, "open", route.open);
  write_text(json, "selector", route.selector);
  write_text(json, "key", route.key);
  if (route.body_limit != 0) json.key("bodyLimit").value(static_cast<std::uint64_t>(route.body_limit));
  write_text(json, "group", route.group);
  write_text(json, "version", route.version);
  json.key("errors").value(kShapes[static_cast<std::size_t>(route.errors)]);
  write_error(json, "tooLarge", route.too_large);
  write_error(json, "unavailable", route.unavailable);
  json.end_object();
}

// --- reading: an absent field keeps its default, a wrong type is an error ---

template <class Value>
Result<void> read(object from, std::string_view field, Value& to) {
  if (const auto wrong = json::read_member(from, field, to)) return bad(field, *wrong);
  return ok();
}

Result<void> read(object from, std::string_view field, GatewayError& to) {
  object error;
  if (from[field].get(error) != simdjson::SUCCESS) return ok();
  TRY(read(error, "status", to.status));
  TRY(read(error, "code", to.code));
  return read(error, "message", to.message);
}

/// A member that is one of `names`; absent, the first.
template <class Value, std::size_t kCount>
Result<void> read_choice(object from, std::string_view field, const std::string_view (&names)[kCount], Value& to) {
  std::string name(names[0]);
  TRY(read(from, field, name));
  const auto* const found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) return bad(field, fmt::format("is none of {}", fmt::join(names, ", ")));
  to = static_cast<Value>(found - std::begin(names));
  return ok();
}

/// "/package.Service/Method".
bool is_rpc_path(std::string_view path) {
  const std::size_t slash = path.find('/', 1);
  return path.size() > 3 && path[0] == '/' && slash != std::string_view::npos && slash > 1 && slash + 1 < path.size() &&
         path.find('/', slash + 1) == std::string_view::npos && path.find_first_of("{}?") == std::string_view::npos;
}

/// "1", or "2.1" for field 1 of the message in field 2.
bool is_field_path(std::string_view text) {
  const auto is_number = [](std::string_view number) {
    return !number.empty() && number.size() <= 4 && number[0] != '0' &&
           number.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::size_t dot = text.find('.');
  return is_number(text.substr(0, dot)) && (dot == std::string_view::npos || is_number(text.substr(dot + 1)));
}

Result<Route> read_route(element from) {
  object fields;
  if (from.get(fields) != simdjson::SUCCESS) return bad("routes", "holds something that is no object");
  Route route;
  TRY(read(fields, "number", route.number));
  TRY(read_choice(fields, "rpc", kRpcs, route.rpc));
  TRY(read(fields, "method", route.method));
  TRY(read(fields, "path", route.path));
  TRY(read(fields, "safe", route.safe));
  TRY(read(fields, "ledgered", route.ledgered));
  TRY(read(fields, "streaming", route.streaming));
  TRY(read(fields, "resumable", route.resumable));
  TRY(read(fields, "fallback", route.fallback));
  TRY(read(fields, "open", route.open));
  TRY(read(fields, "selector", route.selector));
  TRY(read(fields, "key", route.key));
  TRY(read(fields, "bodyLimit", route.body_limit));
  TRY(read(fields, "group", route.group));
  TRY(read(fields, "version", route.version));
  TRY(read_choice(fields, "errors", kShapes, route.errors));
  TRY(read(fields, "tooLarge", route.too_large));
  TRY(read(fields, "unavailable", route.unavailable));
  if (route.number == 0) return bad("routes.number", "is missing or 0");
  if (route.rpc != Rpc::kNone) {
    route.method = "POST";
    if (!route.fallback && !is_rpc_path(route.path)) return bad("routes.path", "is no /package.Service/Method");
    if (!route.selector.empty() && !is_field_path(route.selector)) {
      return bad("routes.selector", "is not the number of a field");
    }
    if (!route.key.empty() && !is_field_path(route.key)) return bad("routes.key", "is not the number of a field");
    if (!route.key.empty() && route.rpc != Rpc::kUnary) return bad("routes.key", "is for unary methods only");
  }
  if (route.method.empty()) return bad("routes.method", "is missing");
  if (route.path.empty() != route.fallback) return bad("routes.path", "must be given, except for a fallback");
  return route;
}

}  // namespace

std::string to_json(const Manifest& manifest) {
  JsonWriter json;
  json.begin_object();
  json.key("capability").value(manifest.capability);
  json.key("version").value(manifest.version);
  json.key("schemaVersion").value(static_cast<std::uint64_t>(manifest.schema_version));
  write_names(json, "calls", manifest.calls);
  write_names(json, "serves", manifest.serves);
  write_names(json, "appQueries", manifest.app_queries);
  write_names(json, "appRpcQueries", manifest.app_rpc_queries);
  write_text(json, "appHealthRpc", manifest.app_health_rpc);
  write_flag(json, "publishesConfig", manifest.publishes_config);
  json.key("takesConfig").value(manifest.takes_config);
  json.key("maxInFlight").value(static_cast<std::uint64_t>(manifest.max_in_flight));
  json.key("routes").begin_array();
  for (const Route& route : manifest.routes) write_route(json, route);
  json.end_array().end_object();
  return json.take();
}

Result<Manifest> parse_manifest(std::string_view json) {
  simdjson::dom::parser parser;
  object fields;
  if (parser.parse(json.data(), json.size()).get(fields) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "manifest: not a JSON object"};
  }
  Manifest manifest;
  TRY(read(fields, "capability", manifest.capability));
  TRY(read(fields, "version", manifest.version));
  TRY(read(fields, "schemaVersion", manifest.schema_version));
  TRY(read(fields, "calls", manifest.calls));
  TRY(read(fields, "serves", manifest.serves));
  TRY(read(fields, "appQueries", manifest.app_queries));
  TRY(read(fields, "appRpcQueries", manifest.app_rpc_queries));
  if (!std::ranges::all_of(manifest.app_rpc_queries, is_rpc_path)) {
    return bad("appRpcQueries", "is no list of /package.Service/Method");
  }
  TRY(read(fields, "appHealthRpc", manifest.app_health_rpc));
  if (!manifest.app_health_rpc.empty() && !is_rpc_path(manifest.app_health_rpc)) {
    return bad("appHealthRpc", "is no /package.Service/Method");
  }
  TRY(read(fields, "publishesConfig", manifest.publishes_config));
  TRY(read(fields, "takesConfig", manifest.takes_config));
  TRY(read(fields, "maxInFlight", manifest.max_in_flight));
  if (manifest.capability.empty()) return bad("capability", "is missing");
  if (manifest.capability.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    return bad("capability", "may hold only lower-case letters, digits and '-'");
  }
  element list;
  if (fields["routes"].get(list) != simdjson::SUCCESS) return manifest;
  simdjson::dom::array routes;
  if (list.get(routes) != simdjson::SUCCESS) return bad("routes", "is not a list");
  for (const element route : routes) {
    ASSIGN(Route parsed, read_route(route));
    for (const Route& other : manifest.routes) {
      if (other.number == parsed.number) return bad("routes.number", "is used twice");
    }
    manifest.routes.push_back(std::move(parsed));
  }
  return manifest;
}

}  // namespace caisson
