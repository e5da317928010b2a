#pragma once

#include <string_view>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson {

/// Go's duration syntax ("1m30s", "500ms") or a bare number of milliseconds. kInvalidArgument.
Result<Nanos> parse_duration(std::string_view text);

}  // namespace caisson
