#include "capabilities/config/yaml_documents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "bus/compartments.hpp"
#include "capabilities/config/yaml_fields.hpp"
#include "capabilities/config/yaml_resiliency.hpp"
#include "capabilities/config/yaml_tree.hpp"
#include "sdk/component_set.hpp"

namespace caisson::config {

namespace {

constexpr std::string_view kV1 = "dapr.io/v1alpha1";
constexpr std::string_view kV2 = "dapr.io/v2alpha1";
constexpr std::string_view kCompartment = "caisson.io/compartment";

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::vector<MetadataItem> read_items(FieldReader& read, const YamlNode& list, std::string_view field) {
  std::vector<MetadataItem> items;
  for (const YamlNode& node : list.elements) {
    if (!node.is_map()) {
      read.fail(node, field, "must be a list of maps with name and value");
      continue;
    }
    MetadataItem item;
    item.name = read.required_text(node, "name", fmt::format("{}[].name", field));
    item.value = to_value(node["value"]);
    const YamlNode& secret = read.map(node, "secretKeyRef", fmt::format("{}[].secretKeyRef", field));
    if (secret.is_map()) {
      item.secret_name = read.required_text(secret, "name", fmt::format("{}[].secretKeyRef.name", field));
      item.secret_key = read.text(secret, "key", fmt::format("{}[].secretKeyRef.key", field));
      if (item.secret_key.empty()) item.secret_key = item.secret_name;
    }
    item.env = read.text(node, "envRef", fmt::format("{}[].envRef", field));
    items.push_back(std::move(item));
  }
  return items;
}

Component read_component(FieldReader& read, const YamlNode& root) {
  Component component;
  const YamlNode& spec = read.map(root, "spec", "spec");
  component.type = lower(read.required_text(spec.is_map() ? spec : root, "type", "spec.type"));
  const std::size_t dot = component.type.find('.');
  if (!component.type.empty() && (dot == 0 || dot == std::string::npos || dot + 1 == component.type.size())) {
    read.fail(spec["type"], "spec.type", "must be category.implementation, e.g. state.redis");
  }
  component.version = lower(read.text(spec, "version", "spec.version"));
  if (component.version.empty()) component.version = "v1";
  component.ignore_errors = read.boolean(spec, "ignoreErrors", "spec.ignoreErrors", false);
  // Dapr falls back to its default where the text is no duration.
  if (const auto timeout = sdk::parse_duration(read.text(spec, "initTimeout", "spec.initTimeout"));
      timeout && *timeout > Nanos::zero()) {
    component.init_timeout = *timeout;
  }
  component.metadata = read_items(read, read.list(spec, "metadata", "spec.metadata"), "spec.metadata");
  component.secret_store = read.text(read.map(root, "auth", "auth"), "secretStore", "auth.secretStore");
  component.scopes = read.texts(root, "scopes", "scopes");
  const YamlNode& annotations = read.map(root["metadata"], "annotations", "metadata.annotations");
  component.compartment = read.text(annotations, kCompartment, "metadata.annotations");
  if (!component.compartment.empty() && !is_compartment_name(component.compartment)) {
    read.fail(annotations[kCompartment], fmt::format("metadata.annotations.{}", kCompartment),
              "must be 1 to 24 lower-case letters, digits and '-'");
  }
  return component;
}

Subscription read_subscription(FieldReader& read, const YamlNode& root, bool v2) {
  Subscription subscription;
  const YamlNode& spec = read.map(root, "spec", "spec");
  const YamlNode& place = spec.is_map() ? spec : root;
  subscription.topic = read.required_text(place, "topic", "spec.topic");
  subscription.pubsub = read.required_text(place, "pubsubname", "spec.pubsubname");
  if (v2) {
    const YamlNode& routes = read.map(place, "routes", "spec.routes");
    for (const YamlNode& rule : read.list(routes, "rules", "spec.routes.rules").elements) {
      if (!rule.is_map()) read.fail(rule, "spec.routes.rules", "must be a list of maps with match and path");
      subscription.rules.push_back({read.text(rule, "match", "spec.routes.rules[].match"),
                                    read.required_text(rule, "path", "spec.routes.rules[].path")});
    }
    subscription.default_path = read.text(routes, "default", "spec.routes.default");
    if (subscription.rules.empty() && subscription.default_path.empty()) {
      read.fail(place, "spec.routes", "needs rules or a default");
    }
  } else {
    subscription.default_path = read.required_text(place, "route", "spec.route");
  }
  subscription.dead_letter_topic = read.text(place, "deadLetterTopic", "spec.deadLetterTopic");
  subscription.metadata = read.text_map(place, "metadata", "spec.metadata");
  const YamlNode& bulk = read.map(place, "bulkSubscribe", "spec.bulkSubscribe");
  subscription.bulk = read.boolean(bulk, "enabled", "spec.bulkSubscribe.enabled", false);
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  subscription.bulk_max_messages = static_cast<std::uint32_t>(
      read.integer(bulk, "maxMessagesCount", "spec.bulkSubscribe.maxMessagesCount", 0, kMost, 0));
  subscription.bulk_max_await = std::chrono::milliseconds(
      read.integer(bulk, "maxAwaitDurationMs", "spec.bulkSubscribe.maxAwaitDurationMs", 0, kMost, 0));
  subscription.scopes = read.texts(root, "scopes", "scopes");
  return subscription;
}

/// {value | secretKeyRef | envRef} under a fixed name.
void read_tls_item(FieldReader& read, const YamlNode& tls, std::string_view name, HttpEndpoint& endpoint) {
  YamlNode wrapped = read.map(tls, name, fmt::format("spec.clientTLS.{}", name));
  if (!wrapped.is_map()) return;
  YamlNode key;
  key.kind = YamlNode::Kind::kScalar;
  key.text = "name";
  YamlNode value = key;
  value.text = name;
  wrapped.members.push_back({std::move(key), std::move(value)});
  YamlNode list;
  list.elements.push_back(std::move(wrapped));
  for (MetadataItem& item : read_items(read, list, "spec.clientTLS")) endpoint.client_tls.push_back(std::move(item));
}

HttpEndpoint read_http_endpoint(FieldReader& read, const YamlNode& root) {
  HttpEndpoint endpoint;
  const YamlNode& spec = read.map(root, "spec", "spec");
  endpoint.base_url = read.required_text(spec.is_map() ? spec : root, "baseUrl", "spec.baseUrl");
  endpoint.headers = read_items(read, read.list(spec, "headers", "spec.headers"), "spec.headers");
  const YamlNode& tls = read.map(spec, "clientTLS", "spec.clientTLS");
  for (const std::string_view name : {"rootCA", "certificate", "privateKey"}) read_tls_item(read, tls, name, endpoint);
  endpoint.renegotiation = read.text(tls, "renegotiation", "spec.clientTLS.renegotiation");
  constexpr std::string_view kRenegotiations[] = {"", "Never", "OnceAsClient", "FreelyAsClient"};
  if (std::ranges::find(kRenegotiations, endpoint.renegotiation) == std::end(kRenegotiations)) {
    read.fail(tls["renegotiation"], "spec.clientTLS.renegotiation", "must be Never, OnceAsClient or FreelyAsClient");
  }
  endpoint.secret_store = read.text(read.map(root, "auth", "auth"), "secretStore", "auth.secretStore");
  endpoint.scopes = read.texts(root, "scopes", "scopes");
  return endpoint;
}

bool is_known_kind(std::string_view kind) {
  return kind == "Component" || kind == "Subscription" || kind == "Resiliency" || kind == "HTTPEndpoint";
}

void check_name(FieldReader& read, const YamlNode& root, const Document& document) {
  const YamlNode& metadata = root["metadata"];
  const bool needed = document.kind == "Component" || document.kind == "HTTPEndpoint";
  if (document.name.empty() && needed) read.fail(metadata.is_map() ? metadata : root, "metadata.name", "is missing");
  if (document.name == "." || document.name == ".." || document.name.find_first_of("/%") != std::string::npos) {
    read.fail(metadata["name"], "metadata.name", "may not be '.' or '..' nor contain '/' or '%'");
  }
}

/// Name and origin lie in the document and, for whoever gets only that, in its content.
template <class Content>
void fill_in(Document& document, Content content) {
  content.name = document.name;
  content.origin = document.origin;
  document.content = std::move(content);
}

/// The document, or none when it is of another kind; problems are in `read`.
std::optional<Document> read_document(FieldReader& read, const YamlNode& root, const std::string& file) {
  if (root.is_null()) return std::nullopt;
  if (!root.is_map()) {
    read.fail(root, "the document", "is no map of names to values");
    return std::nullopt;
  }
  Document document;
  document.kind = read.text(root, "kind", "kind");
  const std::string version = read.text(root, "apiVersion", "apiVersion");
  const bool ours = version.empty() || version.starts_with("dapr.io/");
  if (!is_known_kind(document.kind) || !ours) return std::nullopt;
  const bool v2 = version == kV2 && document.kind == "Subscription";
  if (version != kV1 && !v2) {
    read.fail(root["apiVersion"].line != 0 ? root["apiVersion"] : root, "apiVersion",
              fmt::format("of a {} must be {}", document.kind,
                          document.kind == "Subscription" ? "dapr.io/v1alpha1 or dapr.io/v2alpha1" : kV1));
    return std::nullopt;
  }
  const YamlNode& metadata = read.map(root, "metadata", "metadata");
  document.name = read.text(metadata, "name", "metadata.name");
  document.app_namespace = read.text(metadata, "namespace", "metadata.namespace");
  document.origin = {file, root.line};
  check_name(read, root, document);
  if (document.kind == "Component") fill_in(document, read_component(read, root));
  if (document.kind == "Subscription") fill_in(document, read_subscription(read, root, v2));
  if (document.kind == "Resiliency") fill_in(document, read_resiliency(read, root));
  if (document.kind == "HTTPEndpoint") fill_in(document, read_http_endpoint(read, root));
  return document;
}

/// A file's documents: separated by a line that begins with ---, whose rest does not count.
struct Piece {
  std::string_view text;
  std::uint32_t first_line;
};

std::vector<Piece> split(std::string_view text) {
  std::vector<Piece> pieces;
  std::uint32_t line = 1;
  while (pieces.size() <= kMaxDocuments) {
    const std::size_t mark = text.find("\n---");
    const std::string_view piece = text.substr(0, mark);
    pieces.push_back({piece, line});
    if (mark == std::string_view::npos) break;
    line += static_cast<std::uint32_t>(std::ranges::count(piece, '\n')) + 2;
    text.remove_prefix(mark + 1);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return pieces;
}

}  // namespace

ParsedFile parse_resources(std::string_view text, const std::string& file) {
  ParsedFile parsed;
  if (text.size() > kMaxFile) {
    parsed.problems.push_back({{file, 0}, fmt::format("the file is larger than {} bytes", kMaxFile)});
    return parsed;
  }
  const std::vector<Piece> pieces = split(text);
  if (pieces.size() > kMaxDocuments) {
    parsed.problems.push_back({{file, 0}, fmt::format("the file has more than {} documents", kMaxDocuments)});
    return parsed;
  }
  for (const Piece& piece : pieces) {
    const YamlOutcome yaml = parse_yaml(piece.text, piece.first_line);
    if (yaml.failed) {
      parsed.problems.push_back({{file, yaml.error.line}, yaml.error.message});
      continue;
    }
    FieldReader read(file);
    std::optional<Document> document = read_document(read, yaml.root, file);
    if (read.problem()) {
      const std::string name = document ? fmt::format("{} '{}': ", document->kind, document->name) : "";
      parsed.problems.push_back({read.problem()->origin, name + read.problem()->message});
    } else if (document) {
      parsed.documents.push_back(*std::move(document));
    }
  }
  return parsed;
}

}  // namespace caisson::config
