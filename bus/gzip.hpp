#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson {

/// Packs and unpacks gzip (RFC 1952), for the bodies of APIs that allow it. Any thread.
/// kResourceExhausted: longer than `limit` bytes unpacked, kInvalidArgument: no gzip, or cut short.
Result<std::string> gunzip(std::string_view packed, std::size_t limit);
std::string gzip(std::string_view bytes);

}  // namespace caisson
