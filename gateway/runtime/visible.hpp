#pragma once

#include <algorithm>
#include <string_view>

#include "sdk/capability.hpp"

namespace caisson::gateway {

/// Whether a component's scopes let the app use it.
inline bool is_visible(const sdk::ComponentStatus& component, std::string_view app) {
  return component.scopes.empty() || std::ranges::find(component.scopes, app) != component.scopes.end();
}

}  // namespace caisson::gateway
