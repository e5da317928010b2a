#include "gateway/server.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>

#include "bus/address.hpp"
#include "bus/heap.hpp"
#include "bus/host_lookup.hpp"
#include "bus/inproc_lane.hpp"
#include "bus/log.hpp"
#include "bus/transport.hpp"
#include "gateway/folder_watch.hpp"
#include "gateway/gateway.hpp"
#include "gateway/metrics.hpp"
#include "gateway/runtime/runtime_capability.hpp"
#include "sdk/counters.hpp"
#include "sdk/process.hpp"

namespace caisson::gateway {
namespace {

constexpr std::size_t kLargestAppsFile = 4 * 1024 * 1024;
/// How old the counters of a gateway may be that another one shows.
constexpr Nanos kCountersInterval = std::chrono::seconds(1);

struct Flags {
  std::string run_dir;
  std::string apps_file;
  AppConfig app;          // where there is no apps file
  std::string manifests;  // empty: RUN_DIR/manifests
  std::uint16_t admin_port = 0;
  std::string admin_address = "127.0.0.1";
  std::string log_level = "info";
  bool log_as_json = false;
  std::vector<std::string> bus_addresses;  // PROCESS=ADDRESS
  std::string transport = "shm";           // of the others
  std::string compartments_file;
  bool share_ports = false;
  std::string share_ports_of;  // run directory of the first gateway; empty: this is it
  std::int64_t graceful_seconds = 5;
  std::string max_body_size = "4Mi";
  std::string read_buffer_size = "4Ki";
};

/// "4Mi", "64Ki", "1000"; -1: no limit.
Result<std::size_t> parse_quantity(const std::string& text) {
  if (text == "-1") return std::numeric_limits<std::size_t>::max();
  std::size_t used = 0;
  unsigned long long number = 0;
  try {
    number = std::stoull(text, &used);
  } catch (const std::exception&) {
    return Error{Errc::kInvalidArgument, fmt::format("'{}' is no size", text)};
  }
  const std::string unit = text.substr(used);
  if (unit.empty()) return static_cast<std::size_t>(number);
  if (unit == "Ki") return static_cast<std::size_t>(number) << 10;
  if (unit == "Mi") return static_cast<std::size_t>(number) << 20;
  if (unit == "Gi") return static_cast<std::size_t>(number) << 30;
  if (unit == "k" || unit == "K") return static_cast<std::size_t>(number) * 1000;
  if (unit == "M") return static_cast<std::size_t>(number) * 1000 * 1000;
  return Error{Errc::kInvalidArgument, fmt::format("'{}' is no size", text)};
}

void add_flags(CLI::App& cli, Flags& flags) {
  AppConfig& app = flags.app;
  cli.add_option("--run-dir", flags.run_dir, "where sockets, manifests and pid files lie")->required();
  cli.add_option("--manifests", flags.manifests, "folder of the capabilities' manifests; default RUN_DIR/manifests");
  cli.add_option("--apps", flags.apps_file, "JSON file with the apps; watched while this runs");
  cli.add_option("--app-id", app.id, "the app, where there is no apps file");
  cli.add_option("--app-port", app.app_port, "where the app listens; 0: nowhere");
  cli.add_option("--app-protocol", app.app_protocol);
  cli.add_option("--app-channel-address", app.app_channel_address);
  cli.add_option("--app-max-concurrency", app.app_max_concurrency);
  cli.add_option("--dapr-http-port", app.http_port, "0: the system chooses");
  cli.add_option("--dapr-grpc-port", app.grpc_port);
  cli.add_option("--dapr-listen-addresses", app.listen_addresses)->delimiter(',');
  cli.add_option("--unix-domain-socket", app.unix_socket_dir);
  cli.add_option("--max-body-size", flags.max_body_size);
  cli.add_option("--read-buffer-size", flags.read_buffer_size, "all request headers together");
  cli.add_flag("--enable-app-health-check", app.health_check);
  cli.add_option("--app-health-check-path", app.health_path);
  cli.add_option_function<std::int64_t>("--app-health-probe-interval",
                                        [&app](std::int64_t s) { app.health_interval = std::chrono::seconds(s); });
  cli.add_option_function<std::int64_t>(
      "--app-health-probe-timeout", [&app](std::int64_t ms) { app.health_timeout = std::chrono::milliseconds(ms); });
  cli.add_option("--app-health-threshold", app.health_threshold);
  cli.add_option("--admin-port", flags.admin_port, "/metrics and /status; 0: the system chooses");
  cli.add_option("--admin-listen-address", flags.admin_address, "one address; the pages ask for no token")
      ->capture_default_str();
  cli.add_option("--log-level", flags.log_level);
  cli.add_flag("--log-as-json", flags.log_as_json);
  cli.add_option("--bus-address", flags.bus_addresses,
                 "PROCESS=ADDRESS, a process being CAPABILITY or CAPABILITY.COMPARTMENT; default "
                 "TRANSPORT://RUN_DIR/PROCESS/bus.sock");
  cli.add_option("--transport", flags.transport, "lane of processes without a --bus-address: shm or ipc")
      ->check(CLI::IsMember({"shm", "ipc"}))
      ->capture_default_str();
  cli.add_option("--compartments-file", flags.compartments_file,
                 "the compartments in use, as config wrote them; read once, for when config is away");
  cli.add_flag("--share-ports", flags.share_ports, "let other gateways of this runtime join the apps' ports");
  cli.add_option("--share-ports-of", flags.share_ports_of,
                 "run directory of the gateway whose apps' ports this one joins, as that one opens and closes them")
      ->excludes("--share-ports");
  cli.add_option("--dapr-graceful-shutdown-seconds", flags.graceful_seconds);
}

Result<std::vector<AppConfig>> read_apps(const Flags& flags) {
  std::vector<AppConfig> apps;
  if (flags.apps_file.empty()) {
    if (!flags.app.id.empty()) apps.push_back(flags.app);
  } else {
    ASSIGN(const std::string json, read_whole_file(flags.apps_file, kLargestAppsFile));
    ASSIGN(apps, parse_apps(json));
  }
  const char* const api_token = std::getenv("DAPR_API_TOKEN");
  const char* const app_token = std::getenv("APP_API_TOKEN");
  for (AppConfig& app : apps) {
    if (app.api_token.empty() && api_token != nullptr) app.api_token = api_token;
    if (app.app_token.empty() && app_token != nullptr) app.app_token = app_token;
  }
  if (flags.share_ports_of.empty()) return apps;
  ASSIGN(const PortsByApp open, read_ports(flags.share_ports_of));
  return with_ports_of(open, std::move(apps));
}

/// As many connections as the system lets a process have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The directory of one process's socket: whoever can enter it is that capability or compartment.
Result<void> make_private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return ok();
  return Error{Errc::kInternal, fmt::format("cannot make '{}': {}", path, std::strerror(errno))};
}

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// This process: the gateway with its runtime capability, until a signal or a request ends it.
class Server {
 public:
  Server(Flags flags, const Program& program)
      : flags_(std::move(flags)),
        started_(clock_.now()),
        loop_(clock_),
        transport_(loop_),
        gateway_(loop_, gateway_options(), gateway_handlers()),
        apps_watch_(loop_, [this] { apps_changed(); }),
        ports_watch_(loop_, [this] { apps_changed(); }),
        counters_timer_(loop_, [this] { publish_counters(); }),
        signals_(loop_, [this](std::uint32_t) { on_signal(); }),
        guests_(program.make_guests ? program.make_guests(loop_, flags_.run_dir) : nullptr),
        scope_(loop_) {}

  int run() {
    const Result<void> started = start();
    if (!started) {
      log(LogLevel::kError, started.error().message);
      return 1;
    }
    loop_.run();
    ::unlink((flags_.run_dir + "/gateway.pid").c_str());
    return exit_code_;
  }

 private:
  Gateway::Options gateway_options() {
    Gateway::Options options;
    options.run_dir = flags_.run_dir;
    options.manifests = manifests_folder();
    options.sharing = !flags_.share_ports_of.empty() ? Sharing::kJoin
                      : flags_.share_ports           ? Sharing::kFirst
                                                     : Sharing::kAlone;
    return options;
  }

  [[nodiscard]] std::string manifests_folder() const {
    return flags_.manifests.empty() ? flags_.run_dir + "/manifests" : flags_.manifests;
  }

  Gateway::Handlers gateway_handlers() {
    Gateway::Handlers handlers;
    handlers.make_listener = [this](const std::string& process) { return make_listener(process); };
    handlers.shut_down = [this](bool force) {
      if (force) exit_code_ = 1;
      force ? loop_.stop() : stop();
    };
    handlers.pages.metrics = [this] {
      return render_metrics(gateway_, gateway_.counters(), flags_.share_ports ? flags_.run_dir : std::string());
    };
    handlers.pages.status = [this] { return render_status(gateway_, loop_.now(), started_); };
    return handlers;
  }

  /// Reads --bus-address. A name of this host says at which of its addresses to listen, so that a
  /// network reaches the socket of its own capability only; nothing is served yet, so this may block.
  Result<void> read_bus_addresses() {
    for (const std::string& entry : flags_.bus_addresses) {
      const std::size_t equals = entry.find('=');
      const std::string process = entry.substr(0, equals);
      if (equals == std::string::npos || process.empty()) {
        return Error{Errc::kInvalidArgument, fmt::format("--bus-address {}: expected PROCESS=ADDRESS", entry)};
      }
      ASSIGN(Address address, parse_address(entry.substr(equals + 1)));
      if (address.scheme == Address::Scheme::kTcp) {
        const std::size_t colon = address.rest.rfind(':');
        const std::string host = address.rest.substr(0, colon);
        if (is_host_name(host)) {
          ASSIGN(const auto addresses, look_up_host(host));
          const bool is_v6 = addresses.front().find(':') != std::string::npos;
          address.rest.replace(0, colon, is_v6 ? "[" + addresses.front() + "]" : addresses.front());
        }
      }
      bus_addresses_[process] = address.text();
    }
    return ok();
  }

  Result<std::unique_ptr<LaneListener>> make_listener(const std::string& process) {
    if (guests_ && guests_->includes(process)) return transport_.make_listener(inproc_address(process));
    const auto address = bus_addresses_.find(process);
    if (address != bus_addresses_.end()) return transport_.make_listener(address->second);
    const std::string directory = flags_.run_dir + "/" + process;
    TRY(make_private_directory(directory));
    return transport_.make_listener(flags_.transport + "://" + directory + "/bus.sock");
  }

  Result<void> start() {
    ASSIGN(auto apps, read_apps(flags_));
    TRY(read_bus_addresses());
    TRY(watch_signals());
    if (guests_) TRY(guests_->install_manifests(manifests_folder()));
    TRY(gateway_.start());
    expect_compartments();
    TRY(link_runtime());
    if (guests_) TRY(guests_->start(transport_));
    apps_ = apps;
    TRY(gateway_.set_apps(std::move(apps)));
    ASSIGN(const std::uint16_t admin, gateway_.open_admin(flags_.admin_address, flags_.admin_port));
    TRY(gateway_.write_ports());
    TRY(replace_file(flags_.run_dir + "/gateway.pid", fmt::format("{}\n", ::getpid())));
    if (!flags_.apps_file.empty()) {
      const auto folder = std::filesystem::path(flags_.apps_file).parent_path();
      TRY(apps_watch_.start(folder.empty() ? "." : folder.string()));
      apps_changed();  // what was written between reading and watching
    }
    if (!flags_.share_ports_of.empty()) TRY(join_first_gateway());
    log(LogLevel::kInfo, fmt::format("the gateway serves; admin port {}", admin));
    return ok();
  }

  /// Nothing of this file is needed to start: config says it all again.
  void expect_compartments() {
    if (flags_.compartments_file.empty()) return;
    const auto text = read_whole_file(flags_.compartments_file, kLargestCompartmentList);
    if (!text && text.error().code == Errc::kNotFound) return;
    const auto list = text ? parse_compartments(*text) : Result<std::vector<Compartment>>(text.error());
    const Result<void> expected = list ? gateway_.expect(*list) : Result<void>(list.error());
    if (!expected) {
      log(LogLevel::kError, fmt::format("{}: {}", flags_.compartments_file, expected.error().message));
    }
  }

  Result<void> link_runtime() {
    sdk::Process::Options options;
    options.name = "runtime";
    options.instance = "gateway";
    RuntimeCapability* capability = nullptr;
    runtime_ = std::make_unique<sdk::Process>(loop_, std::move(options), [&](sdk::Context& context) {
      auto made = std::make_unique<RuntimeCapability>(context, gateway_);
      capability = made.get();
      return made;
    });
    const std::string& first = flags_.share_ports ? flags_.run_dir : flags_.share_ports_of;
    if (!first.empty()) {
      const std::string number = std::filesystem::path(flags_.run_dir).filename();
      TRY(capability->share_attributes(first + "/attributes", flags_.share_ports ? "first" : number));
    }
    TRY(runtime_->start());
    auto [ours, theirs] = make_inproc_lanes(loop_);
    TRY(gateway_.link_inproc(runtime_->manifest(), std::move(ours)));
    runtime_->adopt(std::move(theirs));
    return ok();
  }

  /// From here on this one's apps are those of the first gateway, and that shows what this one counts.
  Result<void> join_first_gateway() {
    TRY(ports_watch_.start(flags_.share_ports_of));
    apps_changed();
    TRY(counters_.open(flags_.run_dir + "/" + std::string(kGatewayCounters)));
    publish_counters();
    return ok();
  }

  void publish_counters() {
    publish(gateway_.counters(), counters_);
    counters_timer_.start_after(kCountersInterval);
  }

  void apps_changed() {
    auto apps = read_apps(flags_);
    if (!apps) {
      apps_log_.log(LogLevel::kError, "the apps stay as they are: " + apps.error().message);
      return;
    }
    // The ports file may lie in the same folder: writing it must not begin this anew.
    if (*apps == apps_) return;
    apps_ = *apps;
    const Result<void> set = gateway_.set_apps(*std::move(apps));
    if (!set) apps_log_.log(LogLevel::kError, set.error().message);
    const Result<void> written = gateway_.write_ports();
    if (!written) apps_log_.log(LogLevel::kError, written.error().message);
  }

  Result<void> watch_signals() {
    const sigset_t mask = ending_signals();
    signal_fd_ = ::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd_ < 0) return Error{Errc::kInternal, "cannot watch signals"};
    return signals_.start(signal_fd_, EPOLLIN);
  }

  void on_signal() {
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
      if (gateway_.shutting_down()) {  // the second one ends at once
        exit_code_ = 1;
        loop_.stop();
        return;
      }
      stop();
    }
  }

  void stop() {
    if (gateway_.shutting_down()) return;
    scope_.spawn(finish());
  }

  Task<void> finish() {
    log(LogLevel::kInfo, "shutting down");
    const Deadline deadline = loop_.deadline_in(std::chrono::seconds(flags_.graceful_seconds));
    co_await gateway_.shut_down_gracefully(deadline);
    if (guests_) co_await guests_->drain(deadline);
    loop_.stop();
  }

  Flags flags_;
  SystemClock clock_;
  Nanos started_;
  EventLoop loop_;
  Transport transport_;
  Gateway gateway_;
  std::unique_ptr<sdk::Process> runtime_;
  std::map<std::string, std::string> bus_addresses_;  // of capabilities that have another than the default
  std::vector<AppConfig> apps_;                       // as last read
  FolderWatch apps_watch_;
  FolderWatch ports_watch_;  // of the first gateway's run directory
  sdk::Counters counters_;   // of one that is not the first
  Timer counters_timer_;
  LogLimit apps_log_;
  int signal_fd_ = -1;
  FdWatch signals_;
  int exit_code_ = 0;
  std::unique_ptr<Guests> guests_;
  TaskScope scope_;
};

}  // namespace

int run(int argc, char** argv, const Program& program) {
  CLI::App cli(program.description);
  cli.set_version_flag("--version", CAISSON_VERSION);
  Flags flags;
  add_flags(cli, flags);
  if (program.add_flags) program.add_flags(cli);
  CLI11_PARSE(cli, argc, argv);
  start_logging(program.name, flags.log_level, flags.log_as_json);

  const auto body = parse_quantity(flags.max_body_size);
  const auto headers = parse_quantity(flags.read_buffer_size);
  if (!body || !headers) {
    std::cerr << (body ? headers.error() : body.error()).message << '\n';
    return 1;
  }
  flags.app.max_body_size = *body;
  flags.app.read_buffer_size = *headers;
  raise_descriptor_limit();
  give_large_memory_back();
  // Before any thread starts, the guests' among them: one that does not block them would end it all.
  const sigset_t mask = ending_signals();
  ::sigprocmask(SIG_BLOCK, &mask, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  std::error_code code;
  std::filesystem::create_directories(flags.run_dir, code);
  Server server(std::move(flags), program);
  return server.run();
}

}  // namespace caisson::gateway
