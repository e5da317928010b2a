#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bus/clock.hpp"

/// What a resources folder says, parsed and checked, in the order it was read. Field meanings and
/// defaults are Dapr's (the YAML of `dapr.io/v1alpha1` and `v2alpha1`).
namespace caisson::config {

/// Where a document stands, for messages a person can act on.
struct Origin {
  std::string file;
  std::uint32_t line = 0;
};

/// One entry of a component's metadata. Exactly one of value, secret or env is meant.
struct MetadataItem {
  std::string name;
  std::string value;
  /// secretKeyRef; empty name: none. An empty key means the same as the name.
  std::string secret_name;
  std::string secret_key;
  /// envRef; empty: none.
  std::string env;
};

struct Component {
  std::string name;
  std::string type;     // lower-cased, e.g. "state.sqlite"
  std::string version;  // "v1" where the document says nothing
  std::vector<MetadataItem> metadata;
  std::string secret_store;  // auth.secretStore
  bool ignore_errors = false;
  Nanos init_timeout = std::chrono::seconds(5);
  std::vector<std::string> scopes;  // app ids; empty: all
  std::string compartment;          // annotation caisson.io/compartment
  Origin origin;
};

struct RoutingRule {
  std::string match;  // CEL; empty: always
  std::string path;
};

struct Subscription {
  std::string name;
  std::string pubsub;
  std::string topic;
  std::vector<RoutingRule> rules;
  std::string default_path;
  std::string dead_letter_topic;
  std::map<std::string, std::string> metadata;
  bool bulk = false;
  std::uint32_t bulk_max_messages = 0;  // 0: the default
  Nanos bulk_max_await{};               // 0: the default
  std::vector<std::string> scopes;
  Origin origin;
};

struct RetryPolicy {
  bool exponential = false;
  Nanos duration = std::chrono::seconds(5);       // constant: between attempts
  Nanos max_interval = std::chrono::seconds(60);  // exponential: the longest wait
  std::int64_t max_retries = -1;                  // -1: no limit, 0: none
  std::string http_codes;                         // "429,500-599"; empty: all
  std::string grpc_codes;
};

struct CircuitBreakerPolicy {
  std::uint32_t max_requests = 1;
  Nanos interval{};                          // 0: counts are never cleared while closed
  Nanos timeout = std::chrono::seconds(60);  // open for this long
  std::string trip = "consecutiveFailures > 5";
};

/// Names of policies; empty: none.
struct PolicyNames {
  std::string timeout;
  std::string retry;
  std::string circuit_breaker;
  std::uint32_t circuit_breaker_cache_size = 0;  // apps; 0: the default
};

struct Resiliency {
  std::string name;
  std::map<std::string, Nanos> timeouts;
  std::map<std::string, RetryPolicy> retries;
  std::map<std::string, CircuitBreakerPolicy> circuit_breakers;
  std::map<std::string, PolicyNames> apps;
  std::map<std::string, PolicyNames> component_inbound;
  std::map<std::string, PolicyNames> component_outbound;
  std::vector<std::string> scopes;
  Origin origin;
};

struct SecretScope {
  std::string store;
  bool allow_by_default = true;
  std::vector<std::string> allowed;
  std::vector<std::string> denied;
};

struct ApiRule {
  std::string name;
  std::string version;
  std::string protocol;  // http or grpc
};

struct AccessOperation {
  std::string name;
  std::vector<std::string> verbs;
  bool allow = false;
};

struct AccessPolicy {
  std::string app;
  std::string trust_domain;
  std::string app_namespace;
  std::string default_action;  // allow, deny or empty
  std::vector<AccessOperation> operations;
};

struct HttpEndpoint {
  std::string name;
  std::string base_url;
  std::vector<MetadataItem> headers;
  /// rootCA, certificate, privateKey: PEM or a reference to it.
  std::vector<MetadataItem> client_tls;
  std::string renegotiation;  // Never, OnceAsClient, FreelyAsClient or empty
  std::string secret_store;
  std::vector<std::string> scopes;
  Origin origin;
};

/// The merged Configuration documents.
struct Configuration {
  std::string name;
  double sampling_rate = 0.0001;  // 0: tracing off
  std::vector<SecretScope> secret_scopes;
  std::vector<ApiRule> api_allowed;
  std::vector<ApiRule> api_denied;
  std::vector<std::string> denied_component_types;  // "type" or "type/version"
  std::string access_default_action;
  std::string access_trust_domain;
  std::vector<AccessPolicy> access_policies;
  std::map<std::string, bool> features;
  Origin origin;
};

/// A component of the audience's own capability whose requests go to another process of it.
struct Elsewhere {
  std::string component;
  std::string compartment;  // empty: the capability's own process
  bool operator==(const Elsewhere&) const = default;
};

/// Everything one audience needs, as published. Immutable.
struct Generation {
  /// Grows with every start of the publisher; within a term the sequence grows. A replica never
  /// goes back to a lower (term, sequence).
  std::uint64_t term = 0;
  std::uint64_t sequence = 0;
  /// "state", "gateway", or "state/COMPARTMENT".
  std::string audience;
  std::vector<Component> components;
  std::vector<Subscription> subscriptions;
  std::vector<Resiliency> resiliencies;
  std::vector<HttpEndpoint> http_endpoints;
  Configuration configuration;
  /// Of the capability's own process this is the whole table: what is not in it is served there.
  std::vector<Elsewhere> elsewhere;
};

}  // namespace caisson::config
