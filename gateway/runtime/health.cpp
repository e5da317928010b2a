#include "gateway/runtime/health.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/compartments.hpp"
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
  const std::vector<CapabilityFacts> all = facts_.capabilities();
  if (const auto wrong = what_is_wrong_with_capability(all, name)) return *wrong;
  std::string wrong = "is not known";
  for (const CapabilityFacts& capability : all) {
    if (std::ranges::find(capability.components, name) != capability.components.end()) {
      wrong = fmt::format("{} is not linked", capability.name);
    }
    for (const InstanceFacts& instance : capability.instances) {
      const auto status = sdk::parse_status(instance.status);
      if (!status) continue;
      for (const sdk::ComponentStatus& component : status->components) {
        if (component.name != name || !is_visible(component, app)) continue;
        if (serves(instance) && component.state == sdk::ComponentState::kUp) return {};
        if (!serves(instance))
          wrong = fmt::format("{} is not linked", capability.name);
        else
          wrong = component.reason.empty() ? "is being initialised" : component.reason;
      }
    }
  }
  return wrong;
}

/// A capability is there when all of it is: its own process and every compartment in use. Nothing: no
/// capability has that name.
std::optional<std::string> Health::what_is_wrong_with_capability(const std::vector<CapabilityFacts>& all,
                                                                 const std::string& name) {
  std::optional<std::string> wrong;
  for (const CapabilityFacts& capability : all) {
    const bool is_part = capability.configured && capability_of(capability.name) == name;
    if (capability.name != name && !is_part) continue;
    if (!wrong) wrong.emplace();
    if (!wrong->empty() || std::ranges::any_of(capability.instances, serves)) continue;
    *wrong = capability.instances.empty() ? "no instance has been linked yet" : "no instance is linked";
    if (capability.name != name) *wrong = fmt::format("{}: {}", capability.name, *wrong);
  }
  return wrong;
}

}  // namespace caisson::gateway
