#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace caisson::gateway::testing {

/// A frame of RFC 9113 section 4.1.
inline std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  std::string bytes;
  for (const int shift : {16, 8, 0}) bytes += static_cast<char>(payload.size() >> shift & 255);
  bytes += {static_cast<char>(type), static_cast<char>(flags)};
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(stream >> shift & 255);
  return bytes.append(payload);
}

}  // namespace caisson::gateway::testing
