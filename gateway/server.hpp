#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/transport.hpp"

namespace caisson::gateway {

/// Capabilities that live in the gateway's process, on its event loop. They link over inproc lanes and
/// are otherwise what they are in processes of their own: in-process/.
class Guests {
 public:
  virtual ~Guests() = default;

  /// Whether that process is among them; its listener is inproc_address(process) then.
  [[nodiscard]] virtual bool includes(const std::string& process) const = 0;
  /// Before the gateway reads the manifests: puts theirs into the folder.
  virtual Result<void> install_manifests(const std::string& folder) = 0;
  /// The gateway listens.
  virtual Result<void> start(Transport& transport) = 0;
  /// The gateway has closed its doors and let them go.
  virtual Task<void> drain(Deadline deadline) = 0;
};

inline std::string inproc_address(const std::string& process) { return "inproc://" + process; }

/// What a program with a gateway is beyond the gateway.
struct Program {
  std::string name = "gateway";
  std::string description = "Caisson's gateway: terminates HTTP, routes by manifest, faces the app";
  /// The guests' own flags; null: there are none.
  std::function<void(CLI::App&)> add_flags;
  /// Called once the flags are read; null: no guests.
  std::function<std::unique_ptr<Guests>(EventLoop& loop, const std::string& run_dir)> make_guests;
};

/// The main() of a gateway's process: flags, logging, apps file, doors, signals, draining. Returns the
/// exit code.
int run(int argc, char** argv, const Program& program);

}  // namespace caisson::gateway
