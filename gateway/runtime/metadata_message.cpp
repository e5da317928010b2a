#include "gateway/runtime/metadata_message.hpp"

#include <simdjson.h>

namespace caisson::gateway {

namespace {

namespace rpc = ::dapr::proto::runtime::v1;
using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// A member's value, or an empty one where it is absent or of another kind: other processes wrote some of it.
std::string text(object from, std::string_view name) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
}

int number(object from, std::string_view name) {
  std::int64_t value = 0;
  if (from[name].get(value) != simdjson::SUCCESS || value < INT32_MIN || value > INT32_MAX) return 0;
  return static_cast<int>(value);
}

bool flag(object from, std::string_view name) {
  bool value = false;
  return from[name].get(value) == simdjson::SUCCESS && value;
}

template <class Visit>
void each(object from, std::string_view name, Visit visit) {
  array list;
  if (from[name].get(list) != simdjson::SUCCESS) return;
  for (const element entry : list) visit(entry);
}

template <class Visit>
void each_object(object from, std::string_view name, Visit visit) {
  each(from, name, [&](element entry) {
    object members;
    if (entry.get(members) == simdjson::SUCCESS) visit(members);
  });
}

template <class Visit>
void if_object(object from, std::string_view name, Visit visit) {
  object members;
  if (from[name].get(members) == simdjson::SUCCESS) visit(members);
}

void read_texts(object from, std::string_view name, google::protobuf::Map<std::string, std::string>& to) {
  if_object(from, name, [&](object members) {
    for (const auto& [key, value] : members) {
      std::string_view content;
      if (value.get(content) == simdjson::SUCCESS) to[std::string(key)] = std::string(content);
    }
  });
}

template <class List>
void read_names(object from, std::string_view name, List add) {
  each_object(from, name, [&](object members) { add()->set_name(text(members, "name")); });
}

void read_component(object from, rpc::RegisteredComponents& to) {
  to.set_name(text(from, "name"));
  to.set_type(text(from, "type"));
  to.set_version(text(from, "version"));
  each(from, "capabilities", [&](element entry) {
    std::string_view capability;
    if (entry.get(capability) == simdjson::SUCCESS) to.add_capabilities(std::string(capability));
  });
}

void read_subscription(object from, rpc::PubsubSubscription& to) {
  to.set_pubsub_name(text(from, "pubsubname"));
  to.set_topic(text(from, "topic"));
  to.set_dead_letter_topic(text(from, "deadLetterTopic"));
  rpc::PubsubSubscriptionType type = rpc::UNKNOWN;
  if (rpc::PubsubSubscriptionType_Parse(text(from, "type"), &type)) to.set_type(type);
  read_texts(from, "metadata", *to.mutable_metadata());
  each_object(from, "rules", [&](object members) {
    auto* const rule = to.mutable_rules()->add_rules();
    rule->set_match(text(members, "match"));
    rule->set_path(text(members, "path"));
  });
}

void read_connection(object from, rpc::AppConnectionProperties& to) {
  to.set_port(number(from, "port"));
  to.set_protocol(text(from, "protocol"));
  to.set_channel_address(text(from, "channelAddress"));
  to.set_max_concurrency(number(from, "maxConcurrency"));
  if_object(from, "health", [&](object members) {
    auto& health = *to.mutable_health();
    health.set_health_check_path(text(members, "healthCheckPath"));
    health.set_health_probe_interval(text(members, "healthProbeInterval"));
    health.set_health_probe_timeout(text(members, "healthProbeTimeout"));
    health.set_health_threshold(number(members, "healthThreshold"));
  });
}

void read_actor_runtime(object from, rpc::ActorRuntime& to) {
  rpc::ActorRuntime::ActorRuntimeStatus status = rpc::ActorRuntime::INITIALIZING;
  if (rpc::ActorRuntime::ActorRuntimeStatus_Parse(text(from, "runtimeStatus"), &status)) to.set_runtime_status(status);
  to.set_host_ready(flag(from, "hostReady"));
  to.set_placement(text(from, "placement"));
}

}  // namespace

Result<rpc::GetMetadataResponse> metadata_message(std::string_view json) {
  simdjson::dom::parser parser;
  object from;
  if (parser.parse(json.data(), json.size()).get(from) != simdjson::SUCCESS) {
    return Error{Errc::kInternal, "the metadata is no JSON object"};
  }
  rpc::GetMetadataResponse message;
  message.set_id(text(from, "id"));
  message.set_runtime_version(text(from, "runtimeVersion"));
  each(from, "enabledFeatures", [&](element entry) {
    std::string_view feature;
    if (entry.get(feature) == simdjson::SUCCESS) message.add_enabled_features(std::string(feature));
  });
  each_object(from, "components",
              [&](object members) { read_component(members, *message.add_registered_components()); });
  read_texts(from, "extended", *message.mutable_extended_metadata());
  each_object(from, "subscriptions", [&](object members) { read_subscription(members, *message.add_subscriptions()); });
  read_names(from, "httpEndpoints", [&] { return message.add_http_endpoints(); });
  read_names(from, "resiliencies", [&] { return message.add_resiliencies(); });
  if_object(from, "appConnectionProperties",
            [&](object members) { read_connection(members, *message.mutable_app_connection_properties()); });
  if_object(from, "actorRuntime",
            [&](object members) { read_actor_runtime(members, *message.mutable_actor_runtime()); });
  return message;
}

}  // namespace caisson::gateway
