#include "gateway/runtime/health.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "gateway/runtime/visible.hpp"
#include "sdk/status.hpp"

namespace caisson::gateway {

namespace {

/// This capability reports on the others, so it does not wait for itself.
constexpr std::string_view kSelf = "runtime";

bool has_initialised(const InstanceFacts& instance) {
  if (instance.status.empty()) return false;
  const auto status = sdk::parse_status(instance.status);
  if (!status || !status->configured) return false;
  return std::ranges::none_of(status->components, [](const sdk::ComponentStatus& component) {
    return component.state == sdk::ComponentState::kInit;
  });
}

bool serves(const InstanceFacts& instance) { return instance.linked && !instance.draining; }

}  // namespace

void Health::observe() {
  if (capabilities_ready_) return;
  std::string missing;
  for (const CapabilityFacts& capability : facts_.capabilities()) {
    if (!capability.configured || capability.name == kSelf || initialised_.contains(capability.name)) continue;
    if (std::ranges::any_of(capability.instances, has_initialised)) {
      initialised_.insert(capability.name);
    } else {
      missing += (missing.empty() ? "" : ", ") + capability.name;
    }
  }
  capabilities_ready_ = missing.empty();
  waits_for_ = std::move(missing);
}

bool Health::latched() const { return capabilities_ready_; }

std::string Health::not_ready_reason(std::string_view app) const {
  if (facts_.shutting_down()) return "the runtime is shutting down";
  if (!capabilities_ready_) return "not initialised yet: " + waits_for_;
  const AppChannel* const channel = facts_.app(app);
  if (channel != nullptr && channel->has_port() && channel->incarnation() == 0) {
    return fmt::format("the app does not listen on port {} yet", channel->config().app_port);
  }
  return {};
}

std::vector<Health::Part> Health::check(const std::vector<std::string>& names, std::string_view app) const {
  std::vector<Part> parts;
  for (const std::string& name : names) parts.push_back({name, what_is_wrong_with(name, app)});
  return parts;
}

std::string Health::what_is_wrong_with(const std::string& name, std::string_view app) const {
  std::string wrong;
  bool known = false;
  for (const CapabilityFacts& capability : facts_.capabilities()) {
    const bool is_it = capability.name == name;
    if (is_it) {
      known = true;
      if (std::ranges::any_of(capability.instances, serves)) return {};
      wrong = capability.instances.empty() ? "no instance has been linked yet" : "no instance is linked";
    }
    for (const InstanceFacts& instance : capability.instances) {
      const auto status = sdk::parse_status(instance.status);
      if (!status) continue;
      for (const sdk::ComponentStatus& component : status->components) {
        if (component.name != name || !is_visible(component, app)) continue;
        known = true;
        if (serves(instance) && component.state == sdk::ComponentState::kUp) return {};
        if (!serves(instance))
          wrong = fmt::format("{} is not linked", capability.name);
        else
          wrong = component.reason.empty() ? "is being initialised" : component.reason;
      }
    }
  }
  return known ? wrong : "is not known";
}

}  // namespace caisson::gateway
