#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "bus/log.hpp"
#include "cli/commands.hpp"
#include "cli/daprd_options.hpp"
#include "cli/options.hpp"
#include "cli/up.hpp"

namespace {

using namespace caisson;
using namespace caisson::cli;

int fail(const Error& error) {
  std::fprintf(stderr, "caisson: %s\n", error.message.c_str());
  return 1;
}

int print(const Result<std::string>& text) {
  if (!text) return fail(text.error());
  std::fputs(text->c_str(), stdout);
  return 0;
}

/// The drop-in name: a link to this program.
bool called_daprd(std::string_view program) { return program.substr(program.find_last_of('/') + 1) == "daprd"; }

/// All processes write to the stderr they are given.
Result<void> send_log_to(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (file < 0 || ::dup2(file, STDERR_FILENO) < 0) {
    return Error{Errc::kFailedPrecondition, "--log-file " + path + ": " + std::strerror(errno)};
  }
  ::close(file);
  return ok();
}

}  // namespace

int main(int argc, char** argv) {
  const Parsed parsed = argc > 0 && called_daprd(argv[0]) ? parse_daprd_command_line(argc, argv, current_environment())
                                                          : parse_command_line(argc, argv);
  if (!parsed.proceed) {
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  }
  const Options& options = parsed.options;
  switch (options.command) {
    case Command::kStatus:
      return print(status_command(options.run_dir, options.json));
    case Command::kRestart:
      return print(restart_command(options.run_dir, options.capability));
    case Command::kStop:
      return print(stop_command(options.run_dir));
    case Command::kHealth:
      return print(health_command(options.health_port, options.health_path));
    case Command::kWait:
      return wait_command(options.health_port);
    case Command::kUp:
      break;
  }
  if (!options.up.log_file.empty()) {
    if (const auto sent = send_log_to(options.up.log_file); !sent) return fail(sent.error());
  }
  start_logging(options.up.as_daprd ? "daprd" : "caisson", options.up.log_level, options.up.log_as_json);
  const auto code = up(options.up);
  return code ? *code : fail(code.error());
}
