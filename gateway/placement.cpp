#include "gateway/placement.hpp"

namespace caisson::gateway {

void Placement::begin_with(const std::vector<Compartment>& compartments) {
  for (const Compartment& compartment : compartments) {
    for (const std::string& component : compartment.components) {
      elsewhere_[compartment.capability][component] = compartment.process();
      told_[compartment.process()].insert(component);
    }
  }
}

void Placement::take(const config::Generation& generation) {
  if (!compartment_of(generation.audience).empty()) {
    auto& components = told_[process_of(generation.audience)];
    components.clear();
    for (const config::Component& component : generation.components) components.insert(component.name);
    if (components.empty()) told_.erase(process_of(generation.audience));
    return;
  }
  Elsewhere elsewhere;
  for (const config::Elsewhere& one : generation.elsewhere) {
    if (is_compartment_name(one.compartment)) {
      elsewhere[one.component] = Compartment{generation.audience, one.compartment, {}, {}}.process();
    }
  }
  if (elsewhere.empty()) {
    elsewhere_.erase(generation.audience);
  } else {
    elsewhere_[generation.audience] = std::move(elsewhere);
  }
}

Placement::Holder Placement::holder(std::string_view capability, std::string_view component) const {
  const auto divided = component.empty() ? elsewhere_.end() : elsewhere_.find(capability);
  if (divided == elsewhere_.end()) return {capability, true};
  const auto found = divided->second.find(component);
  if (found == divided->second.end()) return {capability, true};
  const auto told = told_.find(found->second);
  return {found->second, told != told_.end() && told->second.contains(component)};
}

std::vector<std::string> Placement::components_of(std::string_view process) const {
  std::vector<std::string> components;
  const auto divided = elsewhere_.find(capability_of(process));
  if (divided == elsewhere_.end()) return components;
  for (const auto& [component, holder] : divided->second) {
    if (holder == process) components.push_back(component);
  }
  return components;
}

}  // namespace caisson::gateway
