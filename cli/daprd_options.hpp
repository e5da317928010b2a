#pragma once

#include "cli/environment.hpp"
#include "cli/options.hpp"

namespace caisson::cli {

/// Reads the command line of a program called `daprd`: all of daprd's flags, with one dash or two, as
/// `--flag value` or `--flag=value`. The word after a flag that takes a value is its value, also when it
/// begins with a dash. Flags of what does not exist here are checked for their form and ignored; the
/// table is in cli/README.md. Flags of `caisson up` that daprd has not (--run-dir, --data-dir) work too.
///
/// Without --run-dir and --data-dir folders are chosen that no other daprd on this host uses: by the
/// HTTP port, which only one can have, or by the folder of the Unix sockets.
Parsed parse_daprd_command_line(int argc, const char* const* argv, const Environment& environment);

}  // namespace caisson::cli
