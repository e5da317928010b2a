#include "capabilities/config/yaml_resiliency.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace caisson::config {

namespace {

constexpr std::int64_t kMostCount = std::numeric_limits<std::int32_t>::max();

/// One "429" or "500-599" within the limits.
bool is_code_range(std::string_view part, int least, int most) {
  while (part.starts_with(' ')) part.remove_prefix(1);
  while (part.ends_with(' ')) part.remove_suffix(1);
  const auto code = [&](std::string_view digits) {
    int number = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole = error == std::errc() && end == digits.data() + digits.size();
    return whole && number >= least && number <= most ? number : -1;
  };
  const std::size_t dash = part.find('-');
  if (dash == std::string_view::npos) return code(part) >= 0;
  const int from = code(part.substr(0, dash));
  return from >= 0 && code(part.substr(dash + 1)) >= from;
}

std::string read_codes(FieldReader& read, const YamlNode& matching, std::string_view name, int least, int most) {
  const std::string field = fmt::format("spec.policies.retries.*.matching.{}", name);
  const std::string codes = read.text(matching, name, field);
  std::string_view rest = codes;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    if (!is_code_range(rest.substr(0, comma), least, most)) {
      read.fail(matching[name], field, fmt::format("must list codes or ranges from {} to {}", least, most));
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return codes;
}

RetryPolicy read_retry(FieldReader& read, const YamlNode& node, const std::string& field) {
  RetryPolicy retry;
  const std::string policy = read.text(node, "policy", field + ".policy");
  if (policy != "" && policy != "constant" && policy != "exponential") {
    read.fail(node["policy"], field + ".policy", "must be constant or exponential");
  }
  retry.exponential = policy == "exponential";
  retry.duration = read.duration(node, "duration", field + ".duration", retry.duration);
  retry.max_interval = read.duration(node, "maxInterval", field + ".maxInterval", retry.max_interval);
  retry.max_retries = read.integer(node, "maxRetries", field + ".maxRetries", -1, kMostCount, retry.max_retries);
  const YamlNode& matching = read.map(node, "matching", field + ".matching");
  retry.http_codes = read_codes(read, matching, "httpStatusCodes", 100, 599);
  retry.grpc_codes = read_codes(read, matching, "gRPCStatusCodes", 0, 16);
  return retry;
}

CircuitBreakerPolicy read_breaker(FieldReader& read, const YamlNode& node, const std::string& field) {
  CircuitBreakerPolicy breaker;
  breaker.max_requests =
      static_cast<std::uint32_t>(read.integer(node, "maxRequests", field + ".maxRequests", 0, kMostCount, 1));
  if (breaker.max_requests == 0) breaker.max_requests = 1;
  breaker.interval = read.duration(node, "interval", field + ".interval", breaker.interval);
  const Nanos timeout = read.duration(node, "timeout", field + ".timeout", breaker.timeout);
  if (timeout > Nanos::zero()) breaker.timeout = timeout;
  const std::string trip = read.text(node, "trip", field + ".trip");
  if (!trip.empty()) breaker.trip = trip;
  return breaker;
}

PolicyNames read_names(FieldReader& read, const YamlNode& node, const std::string& field) {
  if (!node.is_map() && !node.is_null()) read.fail(node, field, "must be a map");
  PolicyNames names;
  names.timeout = read.text(node, "timeout", field + ".timeout");
  names.retry = read.text(node, "retry", field + ".retry");
  names.circuit_breaker = read.text(node, "circuitBreaker", field + ".circuitBreaker");
  names.circuit_breaker_cache_size = static_cast<std::uint32_t>(
      read.integer(node, "circuitBreakerCacheSize", field + ".circuitBreakerCacheSize", 0, kMostCount, 0));
  return names;
}

}  // namespace

Resiliency read_resiliency(FieldReader& read, const YamlNode& root) {
  Resiliency resiliency;
  const YamlNode& spec = read.map(root, "spec", "spec");
  const YamlNode& policies = read.map(spec, "policies", "spec.policies");
  const YamlNode& timeouts = read.map(policies, "timeouts", "spec.policies.timeouts");
  for (const auto& [key, node] : timeouts.members) {
    const std::string field = "spec.policies.timeouts." + to_value(key);
    resiliency.timeouts[to_value(key)] = read.duration(timeouts, key.text, field, Nanos::zero());
  }
  for (const auto& [key, node] : read.map(policies, "retries", "spec.policies.retries").members) {
    resiliency.retries[to_value(key)] = read_retry(read, node, "spec.policies.retries." + to_value(key));
  }
  for (const auto& [key, node] : read.map(policies, "circuitBreakers", "spec.policies.circuitBreakers").members) {
    resiliency.circuit_breakers[to_value(key)] =
        read_breaker(read, node, "spec.policies.circuitBreakers." + to_value(key));
  }
  const YamlNode& targets = read.map(spec, "targets", "spec.targets");
  for (const auto& [key, node] : read.map(targets, "apps", "spec.targets.apps").members) {
    resiliency.apps[to_value(key)] = read_names(read, node, "spec.targets.apps." + to_value(key));
  }
  for (const auto& [key, node] : read.map(targets, "components", "spec.targets.components").members) {
    const std::string field = "spec.targets.components." + to_value(key);
    if (!node.is_map() && !node.is_null()) read.fail(node, field, "must be a map");
    if (!node["inbound"].is_null()) {
      resiliency.component_inbound[to_value(key)] = read_names(read, node["inbound"], field + ".inbound");
    }
    if (!node["outbound"].is_null()) {
      resiliency.component_outbound[to_value(key)] = read_names(read, node["outbound"], field + ".outbound");
    }
  }
  resiliency.scopes = read.texts(root, "scopes", "scopes");
  return resiliency;
}

}  // namespace caisson::config
