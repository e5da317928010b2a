#pragma once

#include <cstdint>
#include <string>

#include "bus/result.hpp"

/// The commands that speak to a running runtime. Each returns the text to print.
namespace caisson::cli {

/// Without `caisson up` (in containers the engine supervises) what the gateway of `run_dir` says.
Result<std::string> status_command(const std::string& run_dir, bool json);
Result<std::string> restart_command(const std::string& run_dir, const std::string& name);
/// Returns when the runtime has ended. Without a supervisor, ends what a killed one left behind.
Result<std::string> stop_command(const std::string& run_dir);
/// `daprd --wait`: returns when that port answers /v1.0/healthz/outbound, or after a minute; 0 in either
/// case, as daprd does.
int wait_command(std::uint16_t port);
/// Nothing to print; an error where the answer is not 2xx, or does not come within some seconds.
Result<std::string> health_command(std::uint16_t port, const std::string& path);

}  // namespace caisson::cli
