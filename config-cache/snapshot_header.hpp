#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::config {

/// What stands before the FlatBuffer of a snapshot, little-endian:
///
///    0        4         6          8               16                24
///    | "CSNG" | version | reserved | length (body) | checksum (rest) | body …
///
/// The checksum is FNV-1a (64 bits) over bytes 0–15 and the body. It finds damage, above all torn
/// writes; it proves nothing about who wrote the bytes.
inline constexpr std::size_t kSnapshotHeader = 24;
inline constexpr std::uint16_t kSnapshotVersion = 1;

/// Header and body, one after the other.
std::string seal(std::string_view body);

/// The body of a sealed snapshot, pointing into `bytes`. kInvalidArgument when the bytes are no
/// snapshot or one of another version, kDataLoss when they are not as they were written.
Result<std::string_view> unseal(std::string_view bytes);

}  // namespace caisson::config
