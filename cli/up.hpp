#pragma once

#include "bus/result.hpp"
#include "cli/options.hpp"

namespace caisson::cli {

/// `caisson up`: starts everything, keeps it running, and returns the exit code when a signal, a stop
/// by the control socket, or the runtime itself has ended it. An Error: it could not start.
Result<int> up(const UpOptions& options);

/// Folder of this program, where the other binaries are.
std::string program_folder();

}  // namespace caisson::cli
