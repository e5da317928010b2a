#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::config {

/// Writes a file that only its owner may read so that, whenever power fails, either the old or the
/// new content is there: temporary file, fsync, rename, fsync of the folder. Blocks. After an error
/// the old content is there.
Result<void> write_file_durably(const std::string& path, std::string_view bytes);

/// The whole file; kNotFound when there is none, kOutOfRange when it is larger than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);

}  // namespace caisson::config
