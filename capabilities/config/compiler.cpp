#include "capabilities/config/compiler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string_view>

#include "bus/wire.hpp"

namespace caisson::config {

namespace {

/// These are published also when they are empty: a capability is ready only with a generation.
constexpr std::string_view kAlways[] = {"state", "pubsub", "secrets", "invoke", "config", "gateway"};

struct Category {
  std::string_view name;
  std::string_view audience;
};
constexpr Category kCategories[] = {
    {"state", "state"}, {"pubsub", "pubsub"},     {"secretstores", "secrets"},
    {"lock", "lock"},   {"bindings", "bindings"}, {"configuration", "config"},
};

std::optional<std::string> audience_of(const Component& component) {
  const std::string_view category = std::string_view(component.type).substr(0, component.type.find('.'));
  const auto found = std::ranges::find(kCategories, category, &Category::name);
  if (found == std::end(kCategories)) return std::nullopt;
  return std::string(found->audience);
}

bool is_denied(const Component& component, const std::vector<std::string>& denied) {
  return std::ranges::any_of(denied, [&](const std::string& rule) {
    return equal_ignoring_case(rule, component.type) ||
           equal_ignoring_case(rule, component.type + "/" + component.version);
  });
}

/// Policies that work without a target naming them.
bool works_by_name(std::string_view policy) {
  return policy.starts_with("Default") || policy.starts_with("DaprBuiltIn");
}

/// The part of a resource that concerns these targets: with the policies they name.
Resiliency restrict(const Resiliency& all, const std::set<std::string>& components, bool with_apps) {
  Resiliency part;
  part.name = all.name;
  part.scopes = all.scopes;
  part.origin = all.origin;
  std::set<std::string> timeouts;
  std::set<std::string> retries;
  std::set<std::string> breakers;
  const auto take = [&](const auto& from, auto& to, const auto& wanted) {
    for (const auto& [name, names] : from) {
      if (!wanted(name)) continue;
      to[name] = names;
      timeouts.insert(names.timeout);
      retries.insert(names.retry);
      breakers.insert(names.circuit_breaker);
    }
  };
  take(all.apps, part.apps, [with_apps](const std::string&) { return with_apps; });
  const auto is_ours = [&components](const std::string& name) { return components.contains(name); };
  take(all.component_inbound, part.component_inbound, is_ours);
  take(all.component_outbound, part.component_outbound, is_ours);
  const auto take_policies = [](const auto& from, auto& to, const std::set<std::string>& named) {
    for (const auto& [name, policy] : from) {
      if (named.contains(name) || works_by_name(name)) to[name] = policy;
    }
  };
  take_policies(all.timeouts, part.timeouts, timeouts);
  take_policies(all.retries, part.retries, retries);
  take_policies(all.circuit_breakers, part.circuit_breakers, breakers);
  return part;
}

bool says_something(const Resiliency& part) {
  return !part.timeouts.empty() || !part.retries.empty() || !part.circuit_breakers.empty() || !part.apps.empty() ||
         !part.component_inbound.empty() || !part.component_outbound.empty();
}

void add_resiliency(Generation& generation, const std::vector<Resiliency>& all) {
  const bool is_invoke = generation.audience == "invoke";
  if (generation.audience == "gateway") return;
  std::set<std::string> components;
  for (const Component& component : generation.components) components.insert(component.name);
  for (const Resiliency& resiliency : all) {
    Resiliency part = restrict(resiliency, components, is_invoke);
    if (says_something(part)) generation.resiliencies.push_back(std::move(part));
  }
}

void add_configuration(std::map<std::string, Generation>& audiences, const Configuration& all) {
  for (auto& [name, generation] : audiences) generation.configuration.name = all.name;
  audiences["secrets"].configuration.secret_scopes = all.secret_scopes;
  Configuration& gateway = audiences["gateway"].configuration;
  gateway.sampling_rate = all.sampling_rate;
  gateway.api_allowed = all.api_allowed;
  gateway.api_denied = all.api_denied;
  gateway.features = all.features;
  Configuration& invoke = audiences["invoke"].configuration;
  invoke.access_default_action = all.access_default_action;
  invoke.access_trust_domain = all.access_trust_domain;
  invoke.access_policies = all.access_policies;
}

}  // namespace

Compiled compile(const Generation& documents) {
  Compiled compiled;
  for (const std::string_view name : kAlways) compiled.audiences[std::string(name)];
  for (const Component& component : documents.components) {
    if (is_denied(component, documents.configuration.denied_component_types)) continue;
    const std::optional<std::string> audience = audience_of(component);
    if (audience) {
      compiled.audiences[*audience].components.push_back(component);
    } else {
      compiled.problems.push_back({component.origin, fmt::format("Component '{}': no capability here serves type '{}'",
                                                                 component.name, component.type)});
    }
  }
  compiled.audiences["pubsub"].subscriptions = documents.subscriptions;
  compiled.audiences["invoke"].http_endpoints = documents.http_endpoints;
  add_configuration(compiled.audiences, documents.configuration);
  for (auto& [name, generation] : compiled.audiences) {
    generation.audience = name;
    add_resiliency(generation, documents.resiliencies);
  }
  return compiled;
}

}  // namespace caisson::config
