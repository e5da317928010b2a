#include "capabilities/config/compiler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>

#include "bus/wire.hpp"

namespace caisson::config {

namespace {

/// These are published also when they are empty: a capability is ready only with a generation.
constexpr std::string_view kAlways[] = {"state", "pubsub", "secrets", "invoke", "lock", "config", "gateway"};

struct Category {
  std::string_view name;
  std::string_view audience;
  bool divisible = false;  // its components may have compartments
};
// Calls by other capabilities (secrets.resolve) name no component, so secret stores stay together.
constexpr Category kCategories[] = {
    {"state", "state", true}, {"pubsub", "pubsub", true},  {"secretstores", "secrets"},
    {"lock", "lock"},         {"configuration", "config"},
};

/// So that those which components are about to leave fit beside them.
constexpr std::size_t kMostWanted = kMostCompartments / 2;

/// Types whose library is not ours and brings threads of its own.
struct DefaultCompartment {
  std::string_view type;
  std::string_view name;
};
constexpr DefaultCompartment kDefaultCompartments[] = {{"pubsub.kafka", "kafka"}};

const Category* category_of(const Component& component) {
  const std::string_view category = std::string_view(component.type).substr(0, component.type.find('.'));
  const auto* const found = std::ranges::find(kCategories, category, &Category::name);
  return found == std::end(kCategories) ? nullptr : found;
}

std::string compartment_wanted_by(const Component& component) {
  if (!component.compartment.empty()) return component.compartment;
  const auto* const found = std::ranges::find(kDefaultCompartments, component.type, &DefaultCompartment::type);
  return found == std::end(kDefaultCompartments) ? std::string() : std::string(found->name);
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

/// One run of compile(): finds every component's place.
class Divider {
 public:
  Divider(Compiled& compiled, const Placement& serving, Division division)
      : compiled_(compiled), before_(serving), division_(division) {}

  void place(const Component& component) {
    const Category* const category = category_of(component);
    if (category == nullptr) {
      compiled_.unserved.push_back(component);
      return report(component, fmt::format("no capability here serves type '{}'", component.type));
    }
    const std::string wanted = audience_wanted_by(component, *category);
    const auto before = before_.find(component.name);
    const bool moves = before != before_.end() && capability_of(before->second) == category->audience;
    const std::string& serving = moves ? before->second : wanted;
    compiled_.audiences[wanted].components.push_back(component);
    if (serving != wanted) compiled_.audiences[serving].components.push_back(component);
    compiled_.wanted[component.name] = wanted;
    compiled_.serving[component.name] = serving;
  }

  /// To where its component is; one to no known component to the capability itself, which says so.
  void place(const Subscription& subscription) {
    std::set<std::string, std::less<>> audiences;
    for (const Placement* placement : {&compiled_.wanted, &compiled_.serving}) {
      const auto found = placement->find(subscription.pubsub);
      if (found != placement->end() && capability_of(found->second) == "pubsub") audiences.insert(found->second);
    }
    if (audiences.empty()) audiences.emplace("pubsub");
    for (const std::string& audience : audiences) compiled_.audiences[audience].subscriptions.push_back(subscription);
  }

  /// Tells the audiences of a divided capability about one another.
  void link() {
    std::set<std::string, std::less<>> divided;
    for (const auto& [name, generation] : compiled_.audiences) {
      if (!compartment_of(name).empty()) divided.emplace(capability_of(name));
    }
    for (auto& [name, generation] : compiled_.audiences) {
      const std::string_view capability = capability_of(name);
      if (!divided.contains(capability)) continue;
      for (const auto& [component, serving] : compiled_.serving) {
        if (capability_of(serving) != capability || serving == name) continue;
        generation.elsewhere.push_back({component, std::string(compartment_of(serving))});
      }
      if (!compartment_of(name).empty()) compiled_.compartments.push_back(describe(name, generation));
    }
  }

 private:
  std::string audience_wanted_by(const Component& component, const Category& category) {
    std::string audience(category.audience);
    const std::string compartment = compartment_wanted_by(component);
    if (compartment.empty()) return audience;
    if (division_ == Division::kNone) {
      if (!component.compartment.empty()) {
        report(component, fmt::format("compartment '{}': there are none here, all capabilities run in one process; it "
                                      "is served without one",
                                      compartment));
      }
      return audience;
    }
    if (!category.divisible) {
      report(component, fmt::format("components of type '{}' cannot have a compartment of their own; it is served "
                                    "without one",
                                    component.type));
      return audience;
    }
    std::string own = audience + "/" + compartment;
    if (!own_.contains(own) && own_.size() == kMostWanted) {
      report(component, fmt::format("compartment '{}' is one more than {}; the component is served without it",
                                    compartment, kMostWanted));
      return audience;
    }
    return *own_.insert(std::move(own)).first;
  }

  void report(const Component& component, std::string_view what) {
    compiled_.problems.push_back({component.origin, fmt::format("Component '{}': {}", component.name, what)});
  }

  [[nodiscard]] Compartment describe(const std::string& audience, const Generation& generation) const {
    Compartment one{std::string(capability_of(audience)), std::string(compartment_of(audience)), {}, {}};
    std::set<std::string> types;
    for (const Component& component : generation.components) {
      types.insert(component.type);
      if (compiled_.serving.at(component.name) == audience) one.components.push_back(component.name);
    }
    one.types.assign(types.begin(), types.end());
    return one;
  }

  Compiled& compiled_;
  const Placement& before_;
  Division division_;
  std::set<std::string> own_;  // the compartments that are wanted
};

}  // namespace

Compiled compile(const Generation& documents, const Placement& serving, Division division) {
  Compiled compiled;
  for (const std::string_view name : kAlways) compiled.audiences[std::string(name)];
  Divider divider(compiled, serving, division);
  for (const Component& component : documents.components) {
    if (!is_denied(component, documents.configuration.denied_component_types)) divider.place(component);
  }
  for (const Subscription& subscription : documents.subscriptions) divider.place(subscription);
  divider.link();
  compiled.audiences["invoke"].http_endpoints = documents.http_endpoints;
  add_configuration(compiled.audiences, documents.configuration);
  for (auto& [name, generation] : compiled.audiences) {
    generation.audience = name;
    add_resiliency(generation, documents.resiliencies);
  }
  return compiled;
}

}  // namespace caisson::config
