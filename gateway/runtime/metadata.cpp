#include "gateway/runtime/metadata.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <set>
#include <vector>

#include "bus/json_writer.hpp"
#include "gateway/runtime/visible.hpp"
#include "sdk/status.hpp"

namespace caisson::gateway {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;

/// Members that this file writes itself; no capability may say otherwise.
constexpr std::string_view kOwnMembers[] = {"id",       "runtimeVersion",          "components",
                                            "extended", "appConnectionProperties", "actorRuntime"};

/// Go's way to write a span: "5s", "500ms", "1m30s".
std::string go_duration(Nanos span) {
  const auto count = span.count();
  if (count == 0) return "0s";
  if (count < 1'000) return fmt::format("{}ns", count);
  if (count < 1'000'000) return fmt::format("{:g}µs", static_cast<double>(count) / 1e3);
  if (count < 1'000'000'000) return fmt::format("{:g}ms", static_cast<double>(count) / 1e6);
  const auto minutes = count / 60'000'000'000;
  const std::string seconds = fmt::format("{:.9g}s", static_cast<double>(count % 60'000'000'000) / 1e9);
  if (minutes == 0) return seconds;
  if (minutes < 60) return fmt::format("{}m{}", minutes, seconds);
  return fmt::format("{}h{}m{}", minutes / 60, minutes % 60, seconds);
}

/// The last status of every linked instance.
std::vector<sdk::Status> statuses(const Facts& facts) {
  std::vector<sdk::Status> list;
  for (const CapabilityFacts& capability : facts.capabilities()) {
    for (const InstanceFacts& instance : capability.instances) {
      if (instance.status.empty()) continue;
      auto status = sdk::parse_status(instance.status);
      if (status) list.push_back(std::move(*status));
    }
  }
  return list;
}

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

void write_component(JsonWriter& json, const sdk::ComponentStatus& component) {
  std::vector<std::string> features = component.capabilities;
  // Dapr's name for a store that could hold actors.
  const bool for_actors =
      component.type.starts_with("state.") && holds(features, "ETAG") && holds(features, "TRANSACTIONAL");
  if (for_actors && !holds(features, "ACTOR")) features.emplace_back("ACTOR");
  json.begin_object();
  json.key("name").value(component.name);
  json.key("type").value(component.type);
  json.key("version").value(component.version);
  if (!features.empty()) {
    json.key("capabilities").begin_array();
    for (const std::string& feature : features) json.value(feature);
    json.end_array();
  }
  json.end_object();
}

void write_components(JsonWriter& json, const std::vector<sdk::Status>& all, std::string_view app) {
  std::map<std::string, const sdk::ComponentStatus*> up;  // several instances may hold the same one
  for (const sdk::Status& status : all) {
    for (const sdk::ComponentStatus& component : status.components) {
      if (component.state == sdk::ComponentState::kUp && is_visible(component, app))
        up.emplace(component.name, &component);
    }
  }
  if (up.empty()) return;
  json.key("components").begin_array();
  for (const auto& [name, component] : up) write_component(json, *component);
  json.end_array();
}

/// An entry of a list as the app sees it; nothing when it belongs to another.
std::optional<std::string> entry_for(element entry, std::string_view app) {
  object members;
  if (entry.get(members) != simdjson::SUCCESS) return simdjson::minify(entry);
  std::string_view owner;
  if (members["appId"].get(owner) != simdjson::SUCCESS) return simdjson::minify(entry);
  if (owner != app) return std::nullopt;
  JsonWriter json;
  json.begin_object();
  for (const auto& [name, value] : members) {
    if (name != "appId") json.key(name).raw(simdjson::minify(value));
  }
  json.end_object();
  return json.take();
}

/// What one name has gathered from all capabilities.
struct Gathered {
  bool is_list = false;
  std::vector<std::string> entries;  // of a list
  std::string value;                 // else
};

void gather(std::string_view metadata, std::string_view app, std::map<std::string, Gathered>& to) {
  simdjson::dom::parser parser;
  object members;
  if (parser.parse(metadata.data(), metadata.size()).get(members) != simdjson::SUCCESS) return;
  for (const auto& [name, value] : members) {
    if (std::ranges::find(kOwnMembers, name) != std::end(kOwnMembers)) continue;
    const bool first = !to.contains(std::string(name));
    Gathered& gathered = to[std::string(name)];
    simdjson::dom::array list;
    if (value.get(list) != simdjson::SUCCESS) {
      if (first) gathered.value = simdjson::minify(value);
      continue;
    }
    if (first) gathered.is_list = true;
    if (!gathered.is_list) continue;
    for (const element entry : list) {
      auto text = entry_for(entry, app);
      // Several instances of one capability say the same.
      if (text && !holds(gathered.entries, *text)) gathered.entries.push_back(std::move(*text));
    }
  }
}

void write_gathered(JsonWriter& json, const std::vector<sdk::Status>& all, std::string_view app) {
  std::map<std::string, Gathered> gathered;
  for (const sdk::Status& status : all) gather(status.metadata, app, gathered);
  for (const auto& [name, member] : gathered) {
    if (!member.is_list) {
      json.key(name).raw(member.value);
      continue;
    }
    if (member.entries.empty()) continue;  // Dapr leaves empty lists out
    json.key(name).begin_array();
    for (const std::string& entry : member.entries) json.raw(entry);
    json.end_array();
  }
}

void write_connection(JsonWriter& json, const AppConfig& app) {
  json.key("appConnectionProperties").begin_object();
  json.key("port").value(static_cast<unsigned>(app.app_port));
  json.key("protocol").value(app.app_protocol);
  json.key("channelAddress").value(app.app_channel_address);
  if (app.app_max_concurrency > 0) json.key("maxConcurrency").value(app.app_max_concurrency);
  if (app.health_check) {
    json.key("health").begin_object();
    if (app.app_protocol.starts_with("http") || app.app_protocol == "h2c")
      json.key("healthCheckPath").value(app.health_path);
    json.key("healthProbeInterval").value(go_duration(app.health_interval));
    json.key("healthProbeTimeout").value(go_duration(app.health_timeout));
    json.key("healthThreshold").value(app.health_threshold);
    json.end_object();
  }
  json.end_object();
}

}  // namespace

std::string render_metadata(const Facts& facts, std::string_view app, const Attributes& attributes) {
  const std::vector<sdk::Status> all = statuses(facts);
  JsonWriter json(HtmlEscape::kYes);
  json.begin_object();
  json.key("id").value(app);
  json.key("runtimeVersion").value(kRuntimeVersion);
  write_components(json, all, app);
  json.key("extended").begin_object();
  for (const auto& [key, value] : attributes.of(app)) {
    if (key != "daprRuntimeVersion") json.key(key).value(value);
  }
  json.key("daprRuntimeVersion").value(kRuntimeVersion).end_object();
  write_gathered(json, all, app);
  const AppChannel* const channel = facts.app(app);
  if (channel != nullptr && channel->has_port()) write_connection(json, channel->config());
  // There are no actors; the member is always there.
  json.key("actorRuntime")
      .begin_object()
      .key("runtimeStatus")
      .value("DISABLED")
      .key("hostReady")
      .value(false)
      .end_object();
  json.end_object();
  return json.take();
}

}  // namespace caisson::gateway
