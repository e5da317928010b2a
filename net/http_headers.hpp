#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caisson::net {

/// Headers that concern one connection only and are never passed on (RFC 9110 section 7.6.1).
bool is_connection_header(std::string_view name);

/// True when `name` is one of the comma-separated tokens of `list` (a Connection header's value).
bool has_token(std::string_view list, std::string_view name);

/// Removes connection headers, and those that Connection names.
void drop_connection_headers(std::vector<std::pair<std::string, std::string>>& headers);

/// A token of RFC 9110: a method, a header's name.
bool is_token(std::string_view text);
/// Without line ends and NUL, which would let a value begin another header.
bool is_header_value(std::string_view text);

}  // namespace caisson::net
