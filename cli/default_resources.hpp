#pragma once

#include <string>

#include "bus/result.hpp"

namespace caisson::cli {

/// The embedded default, used without --resources-path: the folder DATA_DIR/components, with a state
/// store `statestore` and a broker `pubsub`, both on SQLite files in the data directory. What is there
/// already is left alone, so that a person can change it. Returns the folder.
Result<std::string> default_resources(const std::string& data_dir);

/// A folder below `run_dir` that says there are none, as daprd without --resources-path has it.
Result<std::string> no_resources(const std::string& run_dir);

/// kFailedPrecondition: the file cannot be read; kInvalidArgument, with the line: it is no YAML.
Result<void> check_yaml(const std::string& path);

}  // namespace caisson::cli
