#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "cli/app_list.hpp"
#include "cli/instances.hpp"

namespace caisson::cli {

/// What `caisson up` was asked for. Flags that mean the same are named as daprd's.
struct UpOptions {
  App app;                                   // from the flags; unused with apps_file
  std::string apps_file;                     // empty: the one app of the flags
  std::vector<std::string> resources_paths;  // empty: the embedded default in the data directory
  std::vector<std::string> configs;
  std::string log_level = "info";
  bool log_as_json = false;
  std::string log_file;  // empty: stderr
  std::string run_dir;
  std::string data_dir;
  std::string transport = "shm";
  Instances instances;
  /// Gateway and all capabilities in one process; `transport` says nothing then.
  bool in_process = false;
  /// Processes that share the apps' ports; 0: as many as suit the machine. Plan::make() settles it.
  std::uint32_t gateways = 0;
  std::uint16_t admin_port = 9090;
  std::string admin_address = "127.0.0.1";
  std::uint32_t graceful_shutdown_seconds = 5;
  /// After the first signal everything goes on for so long, or until the app is not healthy.
  Nanos block_shutdown{};
  /// Started under daprd's name, it behaves as daprd at start and end: cli/README.md.
  bool as_daprd = false;
};

enum class Command { kUp, kStatus, kRestart, kStop, kHealth, kWait };

struct Options {
  Command command = Command::kUp;
  UpOptions up;
  std::string run_dir;               // status, restart, stop
  bool json = false;                 // status
  std::string capability;            // restart
  std::uint16_t health_port = 3500;  // health, wait
  std::string health_path = "/v1.0/healthz/outbound";
};

/// What the command line came to: options, or a text to print and an exit code (help, version,
/// a flag that is wrong); with code 0 it is for stdout.
struct Parsed {
  bool proceed = false;
  Options options;
  std::string text;
  int exit_code = 0;
};

Parsed parse_command_line(int argc, const char* const* argv);

/// A resource quantity as daprd's flags take it ("4Mi", "64Ki", "1000", "4M"), in bytes; -1: no limit.
Result<std::int64_t> parse_quantity(const std::string& text);

void make_paths_absolute(UpOptions& options);

/// $XDG_RUNTIME_DIR/caisson, else /tmp/caisson-UID.
std::string default_run_dir();
/// ~/.caisson/data; empty without HOME.
std::string default_data_dir();

}  // namespace caisson::cli
