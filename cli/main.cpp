#include <cstdio>
#include <string>

#include "bus/log.hpp"
#include "cli/commands.hpp"
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

}  // namespace

int main(int argc, char** argv) {
  const Parsed parsed = parse_command_line(argc, argv);
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
    case Command::kUp:
      break;
  }
  start_logging("caisson", options.up.log_level, options.up.log_as_json);
  const auto code = up(options.up);
  return code ? *code : fail(code.error());
}
