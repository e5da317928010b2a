#include "gateway/app_config.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <type_traits>

#include "bus/json_fields.hpp"
#include "bus/json_writer.hpp"

namespace caisson::gateway {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;

/// The file's members beside the struct's: the one table that reading and writing share.
template <class Config, class Visit>
void each_member(Config& config, Visit&& visit) {
  visit("id", config.id);
  visit("httpPort", config.http_port);
  visit("grpcPort", config.grpc_port);
  visit("listenAddresses", config.listen_addresses);
  visit("unixSocketDir", config.unix_socket_dir);
  visit("apiToken", config.api_token);
  visit("maxBodySize", config.max_body_size);
  visit("readBufferSize", config.read_buffer_size);
  visit("appPort", config.app_port);
  visit("appProtocol", config.app_protocol);
  visit("appChannelAddress", config.app_channel_address);
  visit("appMaxConcurrency", config.app_max_concurrency);
  visit("appToken", config.app_token);
  visit("healthCheck", config.health_check);
  visit("healthPath", config.health_path);
  visit("healthInterval", config.health_interval);
  visit("healthTimeout", config.health_timeout);
  visit("healthThreshold", config.health_threshold);
  visit("disabledQueries", config.disabled_queries);
}

// --- reading one value ---

using json::read;
using json::Wrong;

Wrong read(element from, Nanos& to) {
  constexpr std::int64_t kMost = 1000LL * 60 * 60 * 24 * 365;
  std::int64_t number = 0;
  if (from.get(number) != simdjson::SUCCESS || number < 1 || number > kMost) {
    return "is not a number of milliseconds from 1 up";
  }
  to = std::chrono::milliseconds(number);
  return std::nullopt;
}

void write(JsonWriter& json, const std::vector<std::string>& list) {
  json.begin_array();
  for (const std::string& entry : list) json.value(entry);
  json.end_array();
}
void write(JsonWriter& json, Nanos span) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
  json.value(static_cast<std::int64_t>(milliseconds));
}
void write(JsonWriter& json, const std::string& value) { json.value(value); }
void write(JsonWriter& json, bool value) { json.value(value); }
template <class Number>
requires std::is_integral_v<Number>
void write(JsonWriter& json, Number value) { json.value(static_cast<std::int64_t>(value)); }

Error bad(const std::string& app, std::string_view member, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("apps: app '{}': {} {}", app, member, what)};
}

Result<void> check(const AppConfig& app) {
  if (app.id.empty()) return bad(app.id, "id", "is missing");
  // The id becomes part of a file's name (the Unix socket) and of headers.
  for (const char c : app.id) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || byte <= ' ' || byte == 0x7F) return bad(app.id, "id", "holds '/', a space or a control character");
  }
  if (app.health_check && app.health_timeout > app.health_interval) {
    return bad(app.id, "healthTimeout", "is longer than healthInterval");
  }
  if (app.health_threshold == 0) return bad(app.id, "healthThreshold", "is 0");
  if (app.health_path.empty() || app.health_path.front() != '/') {
    return bad(app.id, "healthPath", "does not begin with '/'");
  }
  return ok();
}

Result<AppConfig> read_app(element from, std::size_t position) {
  object members;
  if (from.get(members) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, fmt::format("apps: entry {} is not an object", position)};
  }
  AppConfig app;
  std::string_view id;
  if (members["id"].get(id) == simdjson::SUCCESS) app.id = id;

  Result<void> result;
  std::set<std::string_view> known;
  each_member(app, [&](std::string_view name, auto& member) {
    known.insert(name);
    element value;
    if (!result || members[name].get(value) != simdjson::SUCCESS) return;
    if (const Wrong wrong = read(value, member)) result = bad(app.id, name, *wrong);
  });
  TRY(result);
  for (const auto& [name, value] : members) {
    if (!known.contains(name)) return bad(app.id, name, "is not a known member");
  }
  TRY(check(app));
  return app;
}

}  // namespace

Result<std::vector<AppConfig>> parse_apps(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::array list;
  if (parser.parse(json.data(), json.size()).get(list) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "apps: not a JSON array"};
  }
  std::vector<AppConfig> apps;
  std::set<std::string> ids;
  for (const element entry : list) {
    ASSIGN(AppConfig app, read_app(entry, apps.size()));
    if (!ids.insert(app.id).second) return bad(app.id, "id", "is used twice");
    apps.push_back(std::move(app));
  }
  return apps;
}

std::string to_json(const std::vector<AppConfig>& apps) {
  JsonWriter json;
  json.begin_array();
  for (const AppConfig& app : apps) {
    json.begin_object();
    each_member(app, [&](std::string_view name, const auto& member) {
      json.key(name);
      write(json, member);
    });
    json.end_object();
  }
  json.end_array();
  return json.take();
}

}  // namespace caisson::gateway
