#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace caisson::sdk {

/// RFC 4648 with padding, as Go's base64.StdEncoding.
std::string base64_encode(std::string_view bytes);
/// Nothing when the text is not base64. Line breaks are ignored, as Go does.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace caisson::sdk
