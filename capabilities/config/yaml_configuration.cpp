#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "bus/wire.hpp"
#include "capabilities/config/yaml_documents.hpp"
#include "capabilities/config/yaml_fields.hpp"
#include "capabilities/config/yaml_tree.hpp"

namespace caisson::config {

namespace {

std::string environment(std::string_view name) {
  const char* const value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::string() : value;
}

bool is_name_character(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Unset or bad means the default; the rate is written as a text.
double read_rate(FieldReader& read, const YamlNode& tracing, double otherwise) {
  const std::string text = read.text(tracing, "samplingRate", "spec.tracing.samplingRate");
  double rate = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && !text.empty() && std::isfinite(rate) && rate >= 0 ? rate : otherwise;
}

bool read_allow(FieldReader& read, const YamlNode& parent, std::string_view name, std::string_view field,
                bool otherwise) {
  const std::string word = read.text(parent, name, field);
  if (word.empty()) return otherwise;
  if (!equal_ignoring_case(word, "allow") && !equal_ignoring_case(word, "deny")) {
    read.fail(parent[name], field, "must be allow or deny");
  }
  return equal_ignoring_case(word, "allow");
}

void read_secret_scopes(FieldReader& read, const YamlNode& secrets, Configuration& merged) {
  if (secrets["scopes"].is_null()) return;
  merged.secret_scopes.clear();
  for (const YamlNode& node : read.list(secrets, "scopes", "spec.secrets.scopes").elements) {
    SecretScope scope;
    scope.store = read.required_text(node, "storeName", "spec.secrets.scopes[].storeName");
    scope.allow_by_default = read_allow(read, node, "defaultAccess", "spec.secrets.scopes[].defaultAccess", true);
    scope.allowed = read.texts(node, "allowedSecrets", "spec.secrets.scopes[].allowedSecrets");
    scope.denied = read.texts(node, "deniedSecrets", "spec.secrets.scopes[].deniedSecrets");
    merged.secret_scopes.push_back(std::move(scope));
  }
}

void read_api_rules(FieldReader& read, const YamlNode& api, std::string_view name, std::vector<ApiRule>& rules) {
  if (api[name].is_null()) return;
  rules.clear();
  const std::string field = fmt::format("spec.api.{}", name);
  for (const YamlNode& node : read.list(api, name, field).elements) {
    ApiRule rule{read.required_text(node, "name", field + "[].name"), read.text(node, "version", field + "[].version"),
                 read.text(node, "protocol", field + "[].protocol")};
    const bool known = rule.protocol.empty() || equal_ignoring_case(rule.protocol, "http") ||
                       equal_ignoring_case(rule.protocol, "grpc");
    // A rule that is for nothing would forbid nothing.
    if (!known) read.fail(node["protocol"], field + "[].protocol", "must be http or grpc");
    rules.push_back(std::move(rule));
  }
}

AccessPolicy read_access_policy(FieldReader& read, const YamlNode& node) {
  const std::string field = "spec.accessControl.policies[]";
  AccessPolicy policy;
  policy.app = read.required_text(node, "appId", field + ".appId");
  policy.trust_domain = read.required_text(node, "trustDomain", field + ".trustDomain");
  policy.app_namespace = read.required_text(node, "namespace", field + ".namespace");
  policy.default_action = read.text(node, "defaultAction", field + ".defaultAction");
  read_allow(read, node, "defaultAction", field + ".defaultAction", false);
  for (const YamlNode& one : read.list(node, "operations", field + ".operations").elements) {
    AccessOperation operation;
    operation.name = read.text(one, "name", field + ".operations[].name");
    operation.verbs = read.texts(one, "httpVerb", field + ".operations[].httpVerb");
    operation.allow = read_allow(read, one, "action", field + ".operations[].action", false);
    policy.operations.push_back(std::move(operation));
  }
  return policy;
}

void read_access_control(FieldReader& read, const YamlNode& access, Configuration& merged) {
  if (!access["defaultAction"].is_null()) {
    merged.access_default_action = read.text(access, "defaultAction", "spec.accessControl.defaultAction");
    read_allow(read, access, "defaultAction", "spec.accessControl.defaultAction", false);
  }
  if (!access["trustDomain"].is_null()) {
    merged.access_trust_domain = read.text(access, "trustDomain", "spec.accessControl.trustDomain");
  }
  if (access["policies"].is_null()) return;
  merged.access_policies.clear();
  for (const YamlNode& node : read.list(access, "policies", "spec.accessControl.policies").elements) {
    merged.access_policies.push_back(read_access_policy(read, node));
  }
}

void read_spec(FieldReader& read, const YamlNode& spec, Configuration& merged) {
  merged.sampling_rate = read_rate(read, read.map(spec, "tracing", "spec.tracing"), merged.sampling_rate);
  read_secret_scopes(read, read.map(spec, "secrets", "spec.secrets"), merged);
  const YamlNode& api = read.map(spec, "api", "spec.api");
  read_api_rules(read, api, "allowed", merged.api_allowed);
  read_api_rules(read, api, "denied", merged.api_denied);
  const YamlNode& components = read.map(spec, "components", "spec.components");
  if (!components["deny"].is_null()) {
    merged.denied_component_types = read.texts(components, "deny", "spec.components.deny");
  }
  read_access_control(read, read.map(spec, "accessControl", "spec.accessControl"), merged);
  for (const YamlNode& feature : read.list(spec, "features", "spec.features").elements) {
    const std::string name = read.required_text(feature, "name", "spec.features[].name");
    merged.features[name] = read.boolean(feature, "enabled", "spec.features[].enabled", false);
  }
}

}  // namespace

std::string expand_environment(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t dollar = text.find('$');
    out.append(text.substr(0, dollar));
    if (dollar == std::string_view::npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('{')) {
      const std::size_t end = text.find('}');
      if (end == std::string_view::npos) {
        text.remove_prefix(1);  // no name: the two characters are dropped
        continue;
      }
      out += environment(text.substr(1, end - 1));
      text.remove_prefix(end + 1);
      continue;
    }
    std::size_t length = 0;
    while (length < text.size() && is_name_character(text[length])) ++length;
    // $1, $2, … are one character long.
    if (length > 0 && text[0] >= '0' && text[0] <= '9') length = 1;
    if (length == 0)
      out += '$';
    else
      out += environment(text.substr(0, length));
    text.remove_prefix(length);
  }
}

std::vector<Problem> parse_configuration(std::string_view text, const std::string& file, Configuration& merged) {
  if (text.size() > kMaxFile) {
    return {{{file, 0}, fmt::format("the file is larger than {} bytes", kMaxFile)}};
  }
  const YamlOutcome yaml = parse_yaml(expand_environment(text), 1);
  if (yaml.failed) return {{{file, yaml.error.line}, yaml.error.message}};
  FieldReader read(file);
  const YamlNode& root = yaml.root;
  if (!root.is_map() || read.text(root, "kind", "kind") != "Configuration") {
    return {{{file, root.line}, "the file is no Configuration"}};
  }
  const std::string name = read.text(read.map(root, "metadata", "metadata"), "name", "metadata.name");
  if (!name.empty()) merged.name = name;
  merged.origin = {file, root.line};
  read_spec(read, read.map(root, "spec", "spec"), merged);
  if (read.problem()) return {*read.problem()};
  return {};
}

}  // namespace caisson::config
