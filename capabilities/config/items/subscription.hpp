#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "capabilities/config/items/store.hpp"

namespace caisson::items {

/// What tells one content of an item from another: a hash of all its fields.
using Fingerprint = std::array<unsigned char, 16>;
Fingerprint fingerprint_of(const Item& item);

/// That an app wants to be told of changes.
struct Subscription {
  std::string id;
  std::string app;
  std::string store;
  std::vector<std::string> keys;  // sorted, each once; empty: all
  /// The app's incarnation that subscribed.
  std::uint64_t incarnation = 0;
  /// Updates go to a stream that is open (UpdateStream), not to the app's port.
  bool streamed = false;

  [[nodiscard]] bool covers(const std::string& key) const;
  /// It is told of everything that `other` is told of.
  [[nodiscard]] bool covers(const Subscription& other) const;
};

/// What an app was told last, by key; a key that is not there was told to be gone, or never there.
using Told = std::map<std::string, Fingerprint, std::less<>>;

/// A random UUID.
std::string new_subscription_id();

/// What remembering the two takes, nearly.
std::size_t key_bytes(const Subscription& subscription, const Told& told);

}  // namespace caisson::items
