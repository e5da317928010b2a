#include "capabilities/config/items/subscription.hpp"

#include <sodium.h>

#include <algorithm>
#include <string_view>

namespace caisson::items {

Fingerprint fingerprint_of(const Item& item) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, Fingerprint().size());
  const auto add = [&state](std::string_view text) {
    const std::uint64_t size = text.size();  // so that "ab","c" differs from "a","bc"
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&size), sizeof size);
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  };
  add(item.value);
  add(item.version);
  for (const auto& [name, value] : item.metadata) {
    add(name);
    add(value);
  }
  Fingerprint fingerprint;
  crypto_generichash_final(&state, fingerprint.data(), fingerprint.size());
  return fingerprint;
}

bool Subscription::covers(const std::string& key) const {
  return keys.empty() || std::ranges::binary_search(keys, key);
}

bool Subscription::covers(const Subscription& other) const {
  if (keys.empty()) return true;
  return !other.keys.empty() && std::ranges::includes(keys, other.keys);
}

}  // namespace caisson::items
