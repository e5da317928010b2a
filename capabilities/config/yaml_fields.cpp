#include "capabilities/config/yaml_fields.hpp"

#include <fmt/format.h>

#include "sdk/component_set.hpp"

namespace caisson::config {

namespace {

const YamlNode kEmpty;

}  // namespace

void FieldReader::fail(const YamlNode& at, std::string_view field, std::string_view what) {
  if (problem_) return;
  problem_ = Problem{{file_, at.line}, fmt::format("{} {}", field, what)};
}

std::string FieldReader::text(const YamlNode& parent, std::string_view name, std::string_view field) {
  const YamlNode& node = parent[name];
  if (node.is_map() || node.is_list()) {
    fail(node, field, "must be a text");
    return {};
  }
  return to_value(node);
}

std::string FieldReader::required_text(const YamlNode& parent, std::string_view name, std::string_view field) {
  std::string value = text(parent, name, field);
  if (value.empty()) fail(parent[name].line != 0 ? parent[name] : parent, field, "is missing");
  return value;
}

bool FieldReader::boolean(const YamlNode& parent, std::string_view name, std::string_view field, bool otherwise) {
  const YamlNode& node = parent[name];
  if (node.is_null()) return otherwise;
  const Result<bool> value = to_bool(node);
  if (!value) fail(node, field, value.error().message);
  return value ? *value : otherwise;
}

std::int64_t FieldReader::integer(const YamlNode& parent, std::string_view name, std::string_view field,
                                  std::int64_t least, std::int64_t most, std::int64_t otherwise) {
  const YamlNode& node = parent[name];
  if (node.is_null()) return otherwise;
  const Result<std::int64_t> value = to_int(node);
  if (!value) {
    fail(node, field, value.error().message);
    return otherwise;
  }
  if (*value < least || *value > most) fail(node, field, fmt::format("must be from {} to {}", least, most));
  return *value;
}

Nanos FieldReader::duration(const YamlNode& parent, std::string_view name, std::string_view field, Nanos otherwise) {
  const YamlNode& node = parent[name];
  const std::string written = text(parent, name, field);
  if (written.empty()) return otherwise;
  const Result<Nanos> span = sdk::parse_duration(written);
  if (span) return *span;
  fail(node, field, "must be a duration such as 500ms, 1m30s or a number of milliseconds");
  return otherwise;
}

std::vector<std::string> FieldReader::texts(const YamlNode& parent, std::string_view name, std::string_view field) {
  std::vector<std::string> out;
  for (const YamlNode& element : list(parent, name, field).elements) {
    if (element.is_map() || element.is_list()) fail(element, field, "must be a list of texts");
    out.push_back(to_value(element));
  }
  return out;
}

std::map<std::string, std::string> FieldReader::text_map(const YamlNode& parent, std::string_view name,
                                                         std::string_view field) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : map(parent, name, field).members) {
    if (value.is_map() || value.is_list()) fail(value, field, "must be a map of texts");
    out[to_value(key)] = to_value(value);
  }
  return out;
}

const YamlNode& FieldReader::map(const YamlNode& parent, std::string_view name, std::string_view field) {
  const YamlNode& node = parent[name];
  if (node.is_map() || node.is_null()) return node;
  fail(node, field, "must be a map");
  return kEmpty;
}

const YamlNode& FieldReader::list(const YamlNode& parent, std::string_view name, std::string_view field) {
  const YamlNode& node = parent[name];
  if (node.is_list() || node.is_null()) return node;
  fail(node, field, "must be a list");
  return kEmpty;
}

}  // namespace caisson::config
