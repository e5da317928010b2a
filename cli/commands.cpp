#include "cli/commands.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "bus/clock.hpp"
#include "cli/control.hpp"
#include "cli/http_get.hpp"
#include "cli/instances.hpp"
#include "cli/plan.hpp"
#include "cli/run_dir.hpp"
#include "cli/status.hpp"

namespace caisson::cli {

namespace {

constexpr Nanos kHealthPatience = std::chrono::seconds(3);
constexpr Nanos kStatusPatience = std::chrono::seconds(5);
/// Longer than a process may take to drain and the next to start.
constexpr Nanos kEndPatience = std::chrono::seconds(60);
constexpr int kLeftBehindGraceMs = 10'000;
constexpr Nanos kWaitPatience = std::chrono::seconds(60);
constexpr int kBetweenLooksMs = 100;

Result<ControlClient> connect(const std::string& run_dir, Nanos patience) {
  return ControlClient::connect(run_dir + "/caisson.sock", patience);
}

/// Ends one process that a killed supervisor left behind. False when there was none.
bool end_left_behind(const std::string& run_dir, const std::string& name) {
  const auto pid = read_pid(run_dir, name);
  if (!pid) return false;
  if (!is_process(*pid, run_dir, name)) return false;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0));
  if (pidfd < 0) return false;
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, nullptr, 0);
  pollfd ended{pidfd, POLLIN, 0};
  if (::poll(&ended, 1, kLeftBehindGraceMs) == 0) {
    ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    ::poll(&ended, 1, kLeftBehindGraceMs);
  }
  ::close(pidfd);
  ::unlink(pid_file(run_dir, name).c_str());
  return true;
}

}  // namespace

Result<std::string> status_command(const std::string& run_dir, bool json) {
  const std::uint16_t port = open_admin_port(run_dir);
  auto client = connect(run_dir, kStatusPatience);
  RuntimeStatus status;
  if (client) {
    ASSIGN(const std::string answer, client->ask("status"));
    ASSIGN(status, parse_runtime_status(answer));
  } else if (port == 0 || !http_get(port, "/status", kStatusPatience)) {
    return std::move(client).error();
  }
  if (port != 0) status.admin_port = port;
  const auto gateway = port == 0 ? Result<std::string>(std::string()) : http_get(port, "/status", kStatusPatience);
  const std::string document = gateway ? *gateway : std::string();
  return json ? status_json(status, document) + "\n" : render_status(status, document);
}

Result<std::string> restart_command(const std::string& run_dir, const std::string& name) {
  ASSIGN(ControlClient client, connect(run_dir, kEndPatience));
  ASSIGN(const std::string answer, client.ask("restart " + name));
  ASSIGN(const RuntimeStatus status, parse_runtime_status(answer));
  for (const ProcessStatus& process : status.processes) {
    if (process.name == name) return fmt::format("{} runs again, pid {}\n", name, process.pid);
  }
  return Error{Errc::kNotFound, fmt::format("no process is called {}", name)};
}

Result<std::string> stop_command(const std::string& run_dir) {
  auto client = connect(run_dir, kEndPatience);
  if (client) {
    TRY(client->ask("stop"));
    return std::string("stopped\n");
  }
  int ended = 0;
  const auto end_instances = [&](const std::string& name) {
    for (unsigned number = 1; number <= kMostInstances; ++number) {
      if (end_left_behind(run_dir, instance_name(name, number))) ++ended;
    }
  };
  end_instances("gateway");
  for (const std::string& name : Plan::capabilities()) {
    if (name != "config") end_instances(name);
  }
  for (const std::string& name : compartments_in(run_dir)) {
    if (end_left_behind(run_dir, name)) ++ended;
  }
  if (end_left_behind(run_dir, "config")) ++ended;
  if (end_left_behind(run_dir, std::string(kInProcess))) ++ended;
  if (ended == 0) return std::move(client).error();
  return fmt::format("no caisson up was running; {} processes it had left were stopped\n", ended);
}

int wait_command(std::uint16_t port) {
  const SystemClock clock;
  const Deadline deadline = Deadline::after(clock, kWaitPatience);
  while (!http_get(port, "/v1.0/healthz/outbound", kHealthPatience)) {
    if (deadline.passed(clock.now())) {
      std::fputs("daprd: timed out waiting for the runtime\n", stderr);
      break;
    }
    ::poll(nullptr, 0, kBetweenLooksMs);
  }
  return 0;
}

Result<std::string> health_command(std::uint16_t port, const std::string& path) {
  TRY(http_get(port, path, kHealthPatience));
  return std::string();
}

}  // namespace caisson::cli
