#include <fcntl.h>
#include <fmt/format.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "bus/compartments.hpp"
#include "bus/heap.hpp"
#include "bus/log.hpp"
#include "bus/transport.hpp"
#include "config-cache/durable_file.hpp"
#include "sdk/counters.hpp"
#include "sdk/process.hpp"
#include "sdk/watchdog.hpp"

namespace caisson::sdk {

namespace {

/// When the event loop last turned, seconds of the system's monotonic clock: what --health looks at.
constexpr std::string_view kAlive = "alive_seconds";
constexpr Nanos kHeartbeat = std::chrono::seconds(1);
constexpr std::uint64_t kLongestSilence = 5;

struct Flags {
  std::vector<std::string> addresses;
  std::string run_dir;
  std::string data_dir;
  std::string compartment;
  std::string instance;
  InstanceNumber number;
  std::string log_level = "info";
  bool log_as_json = false;
  bool print_manifest = false;
  bool health = false;
  unsigned drain_seconds = 5;
  unsigned watchdog_ms = 2000;
  std::vector<std::string> rest;
};

std::string process_name(std::string_view capability, const Flags& flags) {
  if (flags.compartment.empty()) return std::string(capability);
  return Compartment{std::string(capability), flags.compartment, {}, {}}.process();
}

/// Parses argv; an exit code when the process is done already (--help, a wrong flag).
std::optional<int> parse(int argc, char** argv, std::string_view name, Flags& flags) {
  CLI::App app(fmt::format("Caisson's {} capability. `caisson up` starts it; by hand, give it the address of a "
                           "gateway.",
                           name),
               fmt::format("caisson-{}", name));
  app.set_version_flag("--version", CAISSON_VERSION);
  app.add_option("--connect", flags.addresses, "Address of a gateway's socket for this capability (repeatable)")
      ->allow_extra_args(false);
  app.add_option("--run-dir", flags.run_dir, "Folder for the pid file and the counter table");
  app.add_option("--data-dir", flags.data_dir, "Folder for what must survive a restart");
  app.add_option("--compartment", flags.compartment,
                 "Serve only the components of this compartment; --connect then names its own socket")
      ->check([](const std::string& text) {
        return is_compartment_name(text) ? std::string() : "must be 1 to 24 lower-case letters, digits and '-'";
      });
  app.add_option("--instance", flags.instance, "Name of this instance")->default_str(std::string(name));
  app.add_option("--instance-number", flags.number.number,
                 "Which of several processes that serve the same this is, from 1; each needs an --instance of its own");
  app.add_option("--instances", flags.number.of, "How many there are")->check(CLI::Range(1U, kMostInstances));
  app.add_option("--log-level", flags.log_level, "debug, info, warn, error or fatal");
  app.add_flag("--log-as-json", flags.log_as_json, "Log JSON lines");
  app.add_flag("--print-manifest", flags.print_manifest, "Print the manifest and exit");
  app.add_flag("--health", flags.health,
               "Say whether the process with this --run-dir and --instance lives and its loop turns; exit code 0 or 1");
  app.add_option("--drain-seconds", flags.drain_seconds, "Longest time to finish requests after SIGTERM");
  app.add_option("--watchdog-ms", flags.watchdog_ms, "End the process when its loop is stuck this long; 0: never");
  app.allow_extras();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (flags.number.number < 1 || flags.number.number > flags.number.of) {
    std::fprintf(stderr, "--instance-number %u: must be 1 to --instances, which is %u\n", flags.number.number,
                 flags.number.of);
    return 1;
  }
  flags.rest = app.remaining();
  if (flags.instance.empty()) flags.instance = process_name(name, flags);
  return std::nullopt;
}

std::uint64_t seconds_now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(SystemClock().now()).count());
}

std::string counters_path(std::string_view name, const Flags& flags) {
  return std::filesystem::absolute(
      fmt::format("{}/{}/{}.counters", flags.run_dir, process_name(name, flags), flags.instance));
}

Result<void> make_folder(const std::string& path, std::string_view flag) {
  if (path.empty()) return ok();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Error{Errc::kUnavailable, fmt::format("{} {}: {}", flag, path, error.message())};
  return ok();
}

/// SIGTERM and SIGINT as a descriptor: blocked before any thread starts.
int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

Task<void> drain_and_stop(Process& process, Nanos patience) {
  EventLoop& loop = process.loop();
  co_await process.drain(loop.deadline_in(patience));
  loop.stop();
}

int serve(std::string_view name, const Flags& flags, const MakeCapability& make) {
  const int signals = block_signals();
  start_logging(flags.instance, flags.log_level, flags.log_as_json);
  const SystemClock clock;
  EventLoop loop(clock);

  const auto fail = [](const Error& error) {
    log(LogLevel::kError, error.message);
    return 1;
  };
  Process::Options options{std::string(name), flags.instance,    flags.data_dir, {},
                           flags.rest,        flags.compartment, flags.number};
  if (const auto made = make_folder(flags.data_dir, "--data-dir"); !made) return fail(made.error());
  if (!flags.run_dir.empty()) {
    const std::string own = flags.run_dir + "/" + process_name(name, flags);
    if (const auto made = make_folder(own, "--run-dir"); !made) return fail(made.error());
    options.counters_path = counters_path(name, flags);
    const std::string pid_file = fmt::format("{}/{}.pid", flags.run_dir, flags.instance);
    const auto written = config::write_file_durably(pid_file, std::to_string(::getpid()) + "\n");
    if (!written) return fail(written.error());
  }

  Transport transport(loop);
  Process process(loop, std::move(options), make);
  if (const auto started = process.start(); !started) return fail(started.error());
  for (const std::string& address : flags.addresses) {
    process.connect(address, [&transport](const std::string& to) { return transport.connect(to); });
  }

  TaskScope scope(loop);
  FdWatch on_signal(loop, [&](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals, &info, sizeof info) == sizeof info) {
      if (!scope.empty()) ::_exit(1);  // asked a second time: at once
      log(LogLevel::kInfo, "draining");
      scope.spawn(drain_and_stop(process, std::chrono::seconds(flags.drain_seconds)));
    }
  });
  if (const auto watching = on_signal.start(signals, EPOLLIN); !watching) return fail(watching.error());
  std::optional<Watchdog> watchdog;
  if (flags.watchdog_ms > 0) watchdog.emplace(loop, std::chrono::milliseconds(flags.watchdog_ms));

  Counter alive = process.counters().gauge(kAlive);
  Timer heartbeat(loop, [&] {
    alive.set(seconds_now());
    heartbeat.start_after(kHeartbeat);
  });
  alive.set(seconds_now());
  heartbeat.start_after(kHeartbeat);

  loop.run();
  log(LogLevel::kInfo, "stopped");
  return 0;
}

/// For container engines: in the container there is nothing to ask but the counters.
int health(std::string_view name, const Flags& flags) {
  const auto values = read_counters(counters_path(name, flags));
  if (!values) {
    std::fprintf(stderr, "%s\n", values.error().message.c_str());
    return 1;
  }
  const auto alive = std::ranges::find(*values, kAlive, &CounterValue::name);
  const std::uint64_t now = seconds_now();
  if (alive == values->end() || alive->value > now || now - alive->value > kLongestSilence) {
    std::fprintf(stderr, "the event loop has not turned for %llu s\n",
                 static_cast<unsigned long long>(alive == values->end() ? 0 : now - std::min(now, alive->value)));
    return 1;
  }
  return 0;
}

int print_manifest(std::string_view name, const Flags& flags, const MakeCapability& make) {
  const SystemClock clock;
  EventLoop loop(clock);
  Process::Options options{std::string(name), flags.instance, {}, {}, flags.rest, {}, {}};
  const Process process(loop, std::move(options), make);
  std::printf("%s\n", to_json(process.manifest()).c_str());
  return 0;
}

}  // namespace

int run(int argc, char** argv, std::string_view name, const MakeCapability& make) {
  Flags flags;
  if (const auto done = parse(argc, argv, name, flags)) return *done;
  give_large_memory_back();
  if (flags.print_manifest) return print_manifest(name, flags, make);
  return flags.health ? health(name, flags) : serve(name, flags, make);
}

}  // namespace caisson::sdk
