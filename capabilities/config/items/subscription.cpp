#include "capabilities/config/items/subscription.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <random>
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

std::string new_subscription_id() {
  std::random_device random;
  const auto word = [&random] { return static_cast<std::uint32_t>(random()); };
  const std::uint32_t a = word();
  const std::uint32_t b = word();
  const std::uint32_t c = word();
  const std::uint32_t d = word();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:04x}{:08x}", a, b >> 16, b & 0xFFF, 0x8000 | (c >> 18), c & 0xFFFF,
                     d);
}

std::size_t key_bytes(const Subscription& subscription, const Told& told) {
  std::size_t bytes = 0;
  for (const std::string& key : subscription.keys) bytes += key.size();
  for (const auto& [key, fingerprint] : told) bytes += key.size() + fingerprint.size();
  return bytes;
}

}  // namespace caisson::items
