#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::invoke {

/// Where an external callee is: an HTTPEndpoint's baseUrl, or a URL in an app id's place.
struct Url {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authority;  // as it stands in a Host header
  /// What stands before the method's path: "" or "/api/v1", without a last '/'.
  std::string base_path;

  bool operator==(const Url&) const = default;
};

/// Whether an app id is meant as a URL.
bool is_url(std::string_view id);

/// `http://host[:port][/path]` or https. Also with the one '/' after the scheme that is left of two when a
/// proxy has cleaned the path. kInvalidArgument says what is wrong: another scheme, user information, a
/// query, a fragment, characters that no URL may have.
Result<Url> parse_url(std::string_view text);

}  // namespace caisson::invoke
