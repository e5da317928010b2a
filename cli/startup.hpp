#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::cli {

/// What the gateway's /status document says about a start, for one app.
struct StartupView {
  struct FailedComponent {
    std::string name;
    std::string type;
    std::string version;
    std::string reason;
  };
  /// Every configured capability has ended the first attempt to initialise each of its components.
  bool initialised = false;
  std::uint16_t http_port = 0;  // 0: Unix sockets
  bool app_discovered = false;  // its port has been open once, or it has none
  bool app_healthy = false;
  /// Those of the app that could not be initialised and do not say ignoreErrors.
  std::vector<FailedComponent> failed;
};

/// kInvalidArgument: not such a document.
Result<StartupView> parse_startup(std::string_view status, std::string_view app);

/// Follows the start of the runtime in RUN_DIR as daprd's users see it: says in the log, in daprd's
/// words, what tools wait for, and ends with an error when a component keeps failing to initialise, as
/// daprd does. A component whose server is merely away is no such failure: it is waited for. One thread.
class Startup {
 public:
  Startup(EventLoop& loop, std::string run_dir, std::string app, std::uint16_t app_port, std::string app_protocol);

  /// Completes when everything is initialised and the app was there once, or with the error.
  Task<Result<void>> follow();
  /// Completes when the app is no longer healthy, the gateway no longer answers, or at the deadline.
  Task<void> while_app_is_healthy(Deadline deadline);

 private:
  Task<Result<StartupView>> look();

  EventLoop& loop_;
  std::string run_dir_;
  std::string app_;
  std::uint16_t app_port_;
  std::string app_protocol_;
};

}  // namespace caisson::cli
