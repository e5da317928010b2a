#pragma once

#include <cstdint>
#include <string_view>

/// Which of several instances a key belongs to, without a table: each instance has a weight for the key, the
/// highest wins (rendezvous hashing, Thaler and Ravishankar 1998). An instance that comes or goes moves its own
/// share of the keys and no other. The same in every gateway and after every start: no seed, names only.
namespace caisson::gateway {

/// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): for short texts.
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return hash;
}

/// The finalizer of MurmurHash3 (fmix64, public domain): FNV's last bytes reach only some of its bits.
constexpr std::uint64_t mixed(std::uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

/// Of an instance whose name hashes to `instance`, for a key that hashes to `key` (both fnv1a).
constexpr std::uint64_t weight(std::uint64_t instance, std::uint64_t key) { return mixed(mixed(instance) ^ key); }

}  // namespace caisson::gateway
