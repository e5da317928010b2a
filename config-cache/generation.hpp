#pragma once

#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

/// The generation as one sealed snapshot: a FlatBuffer (config-cache/schema/generation.fbs) behind
/// a header with magic, length and checksum. The same bytes cross the bus and lie on disk.
std::string encode(const Generation& generation);

/// Reads a snapshot that another process or a file provides. kDataLoss when it is damaged,
/// kInvalidArgument when it is no snapshot or of an unknown version.
Result<Generation> decode(std::string_view bytes);

}  // namespace caisson::config
