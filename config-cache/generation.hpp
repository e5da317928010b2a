#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

/// Largest snapshot that is read, in bytes; what one frame of the bus carries.
inline constexpr std::size_t kMaxSnapshot = 16 * 1024 * 1024;

/// The generation as one sealed snapshot: a FlatBuffer (config-cache/schema/generation.fbs) behind
/// a header with magic, length and checksum. The same bytes cross the bus and lie on disk. Equal
/// generations give equal bytes. The caller keeps it below kMaxSnapshot.
std::string encode(const Generation& generation);

/// Reads a snapshot that another process or a file provides. kDataLoss when it is damaged,
/// kInvalidArgument when it is no snapshot, of an unknown version, or of an unreasonable size.
Result<Generation> decode(std::string_view bytes);

}  // namespace caisson::config
