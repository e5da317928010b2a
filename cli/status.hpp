#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson::cli {

enum class ProcessState : std::uint8_t { kStarting, kRunning, kWaiting, kCrashLooping, kStopping, kStopped };

std::string_view name_of(ProcessState state);

struct ProcessStatus {
  std::string name;
  std::int64_t pid = 0;  // 0: not running
  std::string state;     // name_of(ProcessState)
  std::int64_t state_for_ms = 0;
  std::uint64_t restarts = 0;
  std::string last_end;  // how the previous run ended; empty: there was none

  bool operator==(const ProcessStatus&) const = default;
};

/// What `caisson up` says about itself.
struct RuntimeStatus {
  std::int64_t pid = 0;
  std::string version;
  std::string run_dir;
  std::string data_dir;
  std::uint16_t admin_port = 0;
  std::vector<ProcessStatus> processes;

  bool operator==(const RuntimeStatus&) const = default;
};

std::string to_json(const RuntimeStatus& status);
/// kInvalidArgument names the member.
Result<RuntimeStatus> parse_runtime_status(std::string_view json);

/// The admin port that is really open (with --admin-port 0 only the gateway knows), from
/// RUN_DIR/gateway.json; 0: there is none yet.
std::uint16_t open_admin_port(const std::string& run_dir);

/// The table that `caisson status` prints. `gateway_status` is the gateway's /status document, or
/// empty when it could not be had.
std::string render_status(const RuntimeStatus& status, std::string_view gateway_status);
/// Both as one JSON document.
std::string status_json(const RuntimeStatus& status, std::string_view gateway_status);

/// "3m 12s", "850 ms": the two largest units.
std::string human_duration(std::int64_t milliseconds);

}  // namespace caisson::cli
