#include "sdk/status.hpp"

#include <simdjson.h>

#include <iterator>

#include "bus/json_fields.hpp"
#include "bus/json_writer.hpp"

namespace caisson::sdk {

namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::string_view kStates[] = {"INIT", "UP", "DOWN"};

/// More is not believed: a status is read into the memory of the gateway, which many share.
constexpr std::size_t kMaxComponents = 4096;

Error bad(std::string_view member, std::string_view what) {
  return {Errc::kInvalidArgument, "status: " + std::string(member) + " " + std::string(what)};
}

void write_names(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  if (names.empty()) return;
  json.key(key).begin_array();
  for (const std::string& name : names) json.value(name);
  json.end_array();
}

void write_component(JsonWriter& json, const ComponentStatus& component) {
  json.begin_object();
  json.key("name").value(component.name);
  json.key("type").value(component.type);
  json.key("version").value(component.version);
  json.key("state").value(kStates[static_cast<std::size_t>(component.state)]);
  if (!component.reason.empty()) json.key("reason").value(component.reason);
  write_names(json, "capabilities", component.capabilities);
  if (component.ignore_errors) json.key("ignoreErrors").value(true);
  if (component.init_failed) json.key("initFailed").value(true);
  write_names(json, "scopes", component.scopes);
  json.end_object();
}

// --- reading: an absent member keeps its default, a member of the wrong type is an error ---

template <class Value>
Result<void> read(object from, std::string_view member, Value& to) {
  if (const auto wrong = json::read_member(from, member, to)) return bad(member, *wrong);
  return ok();
}

Result<ComponentState> read_state(object from) {
  std::string name;
  TRY(read(from, "state", name));
  for (std::size_t i = 0; i < std::size(kStates); ++i) {
    if (name == kStates[i]) return static_cast<ComponentState>(i);
  }
  return bad("components.state", "is none of INIT, UP, DOWN");
}

Result<ComponentStatus> read_component(element from) {
  object members;
  if (from.get(members) != simdjson::SUCCESS) return bad("components", "holds something that is no object");
  ComponentStatus component;
  TRY(read(members, "name", component.name));
  TRY(read(members, "type", component.type));
  TRY(read(members, "version", component.version));
  TRY(read(members, "reason", component.reason));
  TRY(read(members, "capabilities", component.capabilities));
  TRY(read(members, "ignoreErrors", component.ignore_errors));
  TRY(read(members, "initFailed", component.init_failed));
  TRY(read(members, "scopes", component.scopes));
  ASSIGN(component.state, read_state(members));
  if (component.name.empty()) return bad("components.name", "is missing");
  return component;
}

Result<void> read_components(object from, std::vector<ComponentStatus>& to) {
  element value;
  if (from["components"].get(value) != simdjson::SUCCESS) return ok();
  simdjson::dom::array list;
  if (value.get(list) != simdjson::SUCCESS) return bad("components", "is not a list");
  for (const element entry : list) {
    if (to.size() == kMaxComponents) return bad("components", "are too many");
    ASSIGN(ComponentStatus component, read_component(entry));
    to.push_back(std::move(component));
  }
  return ok();
}

Result<void> read_metadata(object from, std::string& to) {
  element value;
  if (from["metadata"].get(value) != simdjson::SUCCESS) return ok();
  if (!value.is_object()) return bad("metadata", "is not an object");
  to = simdjson::minify(value);
  return ok();
}

}  // namespace

std::string to_json(const Status& status) {
  JsonWriter json;
  json.begin_object();
  json.key("capability").value(status.capability);
  json.key("instance").value(status.instance);
  json.key("version").value(status.version);
  json.key("draining").value(status.draining);
  json.key("configured").value(status.configured);
  json.key("components").begin_array();
  for (const ComponentStatus& component : status.components) write_component(json, component);
  json.end_array();
  json.key("metadata").raw(status.metadata.empty() ? "{}" : status.metadata);
  json.end_object();
  return json.take();
}

Result<Status> parse_status(std::string_view json) {
  simdjson::dom::parser parser;
  object members;
  if (parser.parse(json.data(), json.size()).get(members) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "status: not a JSON object"};
  }
  Status status;
  TRY(read(members, "capability", status.capability));
  TRY(read(members, "instance", status.instance));
  TRY(read(members, "version", status.version));
  TRY(read(members, "draining", status.draining));
  TRY(read(members, "configured", status.configured));
  TRY(read_components(members, status.components));
  TRY(read_metadata(members, status.metadata));
  return status;
}

}  // namespace caisson::sdk
