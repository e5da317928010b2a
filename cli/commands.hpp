#pragma once

#include <string>

#include "bus/result.hpp"

/// The commands that speak to a running `caisson up`. Each returns the text to print.
namespace caisson::cli {

Result<std::string> status_command(const std::string& run_dir, bool json);
Result<std::string> restart_command(const std::string& run_dir, const std::string& name);
/// Returns when the runtime has ended. Without a supervisor, ends what a killed one left behind.
Result<std::string> stop_command(const std::string& run_dir);

}  // namespace caisson::cli
