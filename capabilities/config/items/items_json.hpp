#pragma once

#include <string>

#include "capabilities/config/items/store.hpp"

namespace caisson::items {

/// Dapr's JSON of items: {KEY: {"value"?, "version"?, "metadata"?: {…}}}, each left out when empty.
std::string items_json(const Items& items);

/// What an app is told: {"id": SUBSCRIPTION, "items": {KEY: {…}}}. An item that is gone is {}.
std::string update_json(const std::string& subscription, const std::string& key, const Item& item);

}  // namespace caisson::items
