#pragma once

#include <cstdint>
#include <string>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson::cli {

/// GETs a document of at most 4 MiB from a port of this host; blocks for at most `patience`.
/// kUnavailable when nobody answers or the answer is not 200.
Result<std::string> http_get(std::uint16_t port, const std::string& path, Nanos patience);

}  // namespace caisson::cli
