#include "cli/up.hpp"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>

#include "bus/log.hpp"
#include "bus/manifest.hpp"
#include "cli/compartment_processes.hpp"
#include "cli/control.hpp"
#include "cli/default_resources.hpp"
#include "cli/folder_watch.hpp"
#include "cli/gateways.hpp"
#include "cli/plan.hpp"
#include "cli/run_dir.hpp"
#include "cli/startup.hpp"
#include "cli/status.hpp"
#include "cli/supervisor.hpp"

namespace caisson::cli {

namespace {

/// What a process is given beyond its own time to drain before it is killed.
constexpr Nanos kGraceOnTop = std::chrono::seconds(2);

constexpr std::size_t kLargestManifest = 1024 * 1024;

/// The running runtime: what `up` holds between start and end.
class Runtime {
 public:
  Runtime(EventLoop& loop, Plan plan)
      : loop_(loop),
        plan_(std::move(plan)),
        supervisor_(loop, plan_.options().run_dir, grace(), Supervisor::Hooks{[this](int code) { end(code); }}),
        compartments_(loop, plan_, supervisor_),
        control_(loop, [this](ControlRequest request) { return answer(std::move(request)); }),
        apps_file_(loop, [this] { reread_apps(); }),
        signal_watch_(loop, [this](std::uint32_t) { on_signals(); }),
        startup_(loop, plan_.options().run_dir, plan_.options().app.id, plan_.options().app.app_port,
                 plan_.options().app.app_protocol),
        tasks_(loop) {}
  ~Runtime() {
    signal_watch_.stop();
    if (signals_ >= 0) ::close(signals_);
  }
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Result<void> start() {
    const UpOptions& options = plan_.options();
    TRY(write_file(plan_.apps_json_path(), apps_to_json(plan_.apps())));
    if (!options.in_process) {
      for (const std::string& name : Plan::capabilities()) TRY(install_manifest(name));
    }
    TRY(control_.listen(options.run_dir + "/caisson.sock"));
    if (!options.apps_file.empty()) {
      const std::string folder = options.apps_file.substr(0, options.apps_file.find_last_of('/'));
      TRY(apps_file_.start({folder.empty() ? "/" : folder}));
    }
    if (!options.in_process) TRY(compartments_.watch());
    TRY(watch_signals());
    // From here on nothing fails: no process is left behind by a start that was given up.
    tasks_.spawn(options.in_process ? start_one_process() : start_processes());
    if (options.as_daprd) tasks_.spawn(follow_startup());
    return ok();
  }

  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  [[nodiscard]] Nanos grace() const {
    return std::chrono::seconds(plan_.options().graceful_shutdown_seconds) + kGraceOnTop;
  }

  Result<void> install_manifest(const std::string& name) {
    ASSIGN(const std::string text, output_of(plan_.manifest_printer(name), kLargestManifest));
    const auto manifest = parse_manifest(text);
    if (!manifest) {
      return Error{manifest.error().code, fmt::format("the manifest of {}: {}", name, manifest.error().message)};
    }
    return write_file(fmt::format("{}/manifests/{}.json", plan_.options().run_dir, name), text);
  }

  Task<void> start_processes() {
    co_await supervisor_.remove(std::string(kInProcess));
    for (const std::string& name : Plan::capabilities()) {
      auto removing = remove_instances_above(name, plan_.instances_of(name));
      co_await std::move(removing);
    }
    const std::uint32_t gateways = plan_.options().gateways;
    auto removing_gateways = remove_instances_above("gateway", gateways);
    co_await std::move(removing_gateways);
    if (ending_) co_return;
    supervisor_.add(plan_.capability("config"));
    for (std::uint32_t number = 1; number <= gateways; ++number) {
      supervisor_.add(plan_.gateway(number), /*ends_the_runtime=*/true);
    }
    for (const std::string& name : Plan::capabilities()) {
      if (name == "config") continue;
      for (unsigned number = 1; number <= plan_.instances_of(name); ++number) {
        supervisor_.add(plan_.capability(name, number));
      }
    }
    compartments_.start();
  }

  /// Ends first what an earlier, killed `caisson up` left of processes that are not wanted now.
  Task<void> start_one_process() {
    std::vector<std::string> others = compartments_in(plan_.options().run_dir);
    for (std::uint32_t number = 1; number <= kMostGateways; ++number) others.push_back(gateway_name(number));
    for (const std::string& name : others) co_await supervisor_.remove(name);
    for (const std::string& name : Plan::capabilities()) {
      auto removing = remove_instances_above(name, 0);
      co_await std::move(removing);
    }
    if (ending_) co_return;
    supervisor_.add(plan_.in_process(), /*ends_the_runtime=*/true);
  }

  /// Of an earlier, killed `caisson up` that had more of them.
  Task<void> remove_instances_above(std::string name, unsigned count) {
    for (unsigned number = count + 1; number <= kMostInstances; ++number) {
      auto removing = supervisor_.remove(instance_name(name, number));
      co_await std::move(removing);
    }
  }

  void reread_apps() {
    const auto apps = apps_of(plan_.options(), current_environment());
    if (!apps) {
      log(LogLevel::kError, fmt::format("{}; the apps stay as they are", apps.error().message));
      return;
    }
    const std::string json = apps_to_json(*apps);
    const auto present = read_file(plan_.apps_json_path());
    if (present && *present == json) return;
    const auto written = write_file(plan_.apps_json_path(), json);
    if (written) {
      log(LogLevel::kInfo, fmt::format("{} lists {} apps now", plan_.options().apps_file, apps->size()));
    } else {
      log(LogLevel::kError, written.error().message);
    }
  }

  Task<std::string> answer(ControlRequest request) {
    if (request.verb == Verb::kStop) end(0);
    if (request.verb == Verb::kRestart && plan_.options().in_process && request.name != kInProcess) {
      co_return error_json({Errc::kFailedPrecondition,
                            fmt::format("{} is not a process of its own here (--in-process): it cannot be restarted "
                                        "alone; `caisson restart {}` restarts everything",
                                        request.name, kInProcess)});
    }
    if (request.verb == Verb::kRestart) {
      const auto restarted = co_await supervisor_.restart(request.name);
      if (!restarted) co_return error_json(restarted.error());
    }
    co_return to_json(status());
  }

  [[nodiscard]] RuntimeStatus status() const {
    RuntimeStatus status;
    status.pid = ::getpid();
    status.version = CAISSON_VERSION;
    status.run_dir = plan_.options().run_dir;
    status.data_dir = plan_.options().data_dir;
    status.admin_port = plan_.options().admin_port;
    status.processes = supervisor_.status();
    return status;
  }

  Result<void> watch_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signal_watch_.start(signals_, EPOLLIN);
  }

  void on_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGHUP && plan_.options().as_daprd) {
        log(LogLevel::kInfo, "SIGHUP: resources and configuration are in force as they are written already");
      } else if (!std::exchange(end_asked_, true) && !ending_) {
        log(LogLevel::kInfo, "ending: what runs is finished first; a second signal ends it at once");
        tasks_.spawn(end_unless_blocked());
      } else {
        log(LogLevel::kWarning, "ending at once");
        supervisor_.kill_all();
        exit_code_ = 1;
        loop_.stop();
      }
    }
  }

  void end(int code) {
    if (ending_) return;
    ending_ = true;
    exit_code_ = code;
    compartments_.stop();
    tasks_.spawn(stop_all());
  }

  /// --dapr-block-shutdown-duration.
  Task<void> end_unless_blocked() {
    const Nanos span = plan_.options().block_shutdown;
    if (span > Nanos::zero()) {
      log(LogLevel::kInfo, "everything goes on until the app is no longer healthy or the time to block is over");
      co_await startup_.while_app_is_healthy(loop_.deadline_in(span));
    }
    end(0);
  }

  Task<void> follow_startup() {
    const auto started = co_await startup_.follow();
    if (started || ending_) co_return;
    log(LogLevel::kError, fmt::format("Fatal error from runtime: {}", started.error().message));
    end(1);
  }

  Task<void> stop_all() {
    co_await supervisor_.stop();
    loop_.stop();
  }

  EventLoop& loop_;
  Plan plan_;
  Supervisor supervisor_;
  CompartmentProcesses compartments_;
  ControlServer control_;
  FolderWatch apps_file_;
  int signals_ = -1;
  FdWatch signal_watch_;
  Startup startup_;
  bool end_asked_ = false;  // by a signal
  bool ending_ = false;
  int exit_code_ = 0;
  TaskScope tasks_;
};

void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Result<void> prepare_folders(const UpOptions& options) {
  TRY(make_private_dir(options.run_dir + "/manifests"));
  for (std::uint32_t number = 2; number <= options.gateways; ++number) {
    TRY(make_private_dir(gateway_run_dir(options.run_dir, number)));
  }
  for (const std::string& name : Plan::capabilities()) {
    TRY(make_private_dir(options.run_dir + "/" + name));
    TRY(make_private_dir(options.data_dir + "/" + name));
  }
  for (const std::string& folder : options.resources_paths) {
    if (::access(folder.c_str(), R_OK | X_OK) != 0) {
      return Error{Errc::kFailedPrecondition, fmt::format("--resources-path {}: {}", folder, std::strerror(errno))};
    }
  }
  return ok();
}

/// Only what the folders and files say now is to count, not what was in force at an end before.
Result<void> begin_as_daprd(const UpOptions& options) {
  for (const std::string& file : options.configs) TRY(check_yaml(file));
  ::unlink((options.data_dir + "/config/resources.snapshot").c_str());
  ::unlink((options.run_dir + "/gateway.json").c_str());
  return ok();
}

/// Gateways that an earlier, killed `caisson up` left behind hold their ports rightly.
bool gateway_survives(const UpOptions& options) {
  for (std::uint32_t number = 1; number <= kMostGateways; ++number) {
    const auto pid = read_pid(options.run_dir, gateway_name(number));
    if (pid && command_line_of(*pid).find(options.run_dir) != std::string::npos) return true;
  }
  return false;
}

/// What gateways of an earlier run wrote says nothing about those that are started now: neither which ports
/// are theirs, nor what they counted, nor what was put into their metadata.
void forget_gateways(const UpOptions& options) {
  ::unlink((options.run_dir + "/gateway.json").c_str());
  std::error_code failed;
  for (const char* folder : {"/gateways", "/attributes"}) std::filesystem::remove_all(options.run_dir + folder, failed);
}

}  // namespace

std::string program_folder() {
  const std::string program = program_of(::getpid());
  return program.substr(0, program.find_last_of('/'));
}

Result<int> up(const UpOptions& asked) {
  block_signals();  // first: one that comes while this begins is obeyed then
  UpOptions options = asked;
  TRY(make_private_dir(options.run_dir));
  TRY(make_private_dir(options.data_dir));
  ASSIGN(const DirLock run_lock, DirLock::take(options.run_dir));
  ASSIGN(const DirLock data_lock, DirLock::take(options.data_dir));
  if (options.resources_paths.empty()) {
    ASSIGN(options.resources_paths.emplace_back(),
           options.as_daprd ? no_resources(options.run_dir) : default_resources(options.data_dir));
  }
  if (options.as_daprd) TRY(begin_as_daprd(options));
  ASSIGN(Plan plan, Plan::make(options, program_folder(), current_environment()));
  if (!gateway_survives(options)) {
    TRY(check_ports(plan.apps(), options.admin_port));
    forget_gateways(options);
  }
  TRY(prepare_folders(plan.options()));

  const SystemClock clock;
  EventLoop loop(clock);
  Runtime runtime(loop, std::move(plan));
  TRY(runtime.start());
  loop.run();
  return runtime.exit_code();
}

}  // namespace caisson::cli
