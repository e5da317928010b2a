#pragma once

#include <string>

#include "bus/result.hpp"

namespace caisson::cli {

/// The embedded default, used without --resources-path: the folder DATA_DIR/components, with a state
/// store `statestore` and a broker `pubsub`, both on SQLite files in the data directory. What is there
/// already is left alone, so that a person can change it. Returns the folder.
Result<std::string> default_resources(const std::string& data_dir);

}  // namespace caisson::cli
