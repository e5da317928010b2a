#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/server.hpp"
#include "sdk/process.hpp"
#include "sdk/watchdog.hpp"

namespace caisson::in_process {

/// One capability and how it is made.
struct Resident {
  std::string name;
  sdk::MakeCapability make;
  std::vector<std::string> arguments{};  // its own command line
};

struct Options {
  std::string run_dir;
  std::string data_dir;         // each gets DATA_DIR/NAME; empty: nothing is kept on disk
  unsigned watchdog_ms = 2000;  // the process ends when its loop is stuck this long; 0: never
};

/// Every capability on the gateway's event loop, each behind an inproc link of its own: the same
/// envelopes, windows and deadlines as between processes, and none of the walls.
///
/// One thread, beside the watchdog's and those of libraries that block.
class Capabilities final : public gateway::Guests {
 public:
  Capabilities(EventLoop& loop, Options options, std::vector<Resident> residents);

  [[nodiscard]] bool includes(const std::string& process) const override;
  /// Also makes the folders of data and counters.
  Result<void> install_manifests(const std::string& folder) override;
  Result<void> start(Transport& transport) override;
  Task<void> drain(Deadline deadline) override;

 private:
  EventLoop& loop_;
  Options options_;
  std::list<sdk::Process> processes_;
  std::optional<sdk::Watchdog> watchdog_;
};

}  // namespace caisson::in_process
