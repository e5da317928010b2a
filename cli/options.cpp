#include "cli/options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "cli/gateways.hpp"

namespace caisson::cli {

namespace {

std::string absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code failed;
  const auto whole = std::filesystem::absolute(path, failed).lexically_normal();
  std::string text = failed ? path : whole.string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

const CLI::Validator kQuantity(
    [](std::string& text) {
      const auto bytes = parse_quantity(text);
      if (!bytes) return bytes.error().message;
      text = fmt::format("{}", *bytes);
      return std::string();
    },
    "SIZE");

void add_app_flags(CLI::App& up, App& app) {
  const char* const group = "The app (without --apps)";
  up.add_option("--app-id,-a", app.id, "Name of the app")->capture_default_str()->group(group);
  up.add_option("--app-port,-p", app.app_port, "Port where the app listens; 0: it does not")->group(group);
  up.add_option("--app-protocol", app.app_protocol, "Protocol the app speaks")
      ->check(CLI::IsMember({"http", "https", "grpc", "grpcs", "h2c"}))
      ->capture_default_str()
      ->group(group);
  up.add_option("--app-channel-address", app.app_channel_address, "Host of the app")
      ->capture_default_str()
      ->group(group);
  up.add_option("--app-max-concurrency", app.app_max_concurrency, "Most calls to the app at a time; -1: no limit")
      ->group(group);
  up.add_flag("--enable-app-health-check", app.health_check, "Probe the app's health")->group(group);
  up.add_option("--app-health-check-path", app.health_path, "Path of the probe")->capture_default_str()->group(group);
  up.add_option_function<std::int64_t>(
        "--app-health-probe-interval", [&](std::int64_t s) { app.health_interval_ms = s * 1000; },
        "Seconds between probes (5)")
      ->group(group);
  up.add_option("--app-health-probe-timeout", app.health_timeout_ms, "Milliseconds a probe may take")
      ->capture_default_str()
      ->group(group);
  up.add_option("--app-health-threshold", app.health_threshold, "Failed probes until it counts as not healthy")
      ->capture_default_str()
      ->group(group);
  up.add_option("--disable-init-endpoints", app.disabled_queries, "What not to ask the app: config, subscribe")
      ->delimiter(',')
      ->group(group);
}

void add_door_flags(CLI::App& up, App& app) {
  const char* const group = "What the app connects to";
  up.add_option("--dapr-http-port", app.http_port, "HTTP port; 0: a free one, see RUN_DIR/gateway.json")
      ->capture_default_str()
      ->group(group);
  up.add_option("--dapr-grpc-port", app.grpc_port, "gRPC port; 0: as above")->capture_default_str()->group(group);
  up.add_option("--dapr-listen-addresses", app.listen_addresses, "Addresses to listen on (all)")
      ->delimiter(',')
      ->group(group);
  up.add_option("--unix-domain-socket", app.unix_socket_dir, "Folder for a Unix socket instead of TCP")->group(group);
  up.add_option("--max-body-size", app.max_body_size, "Largest request body; -1: no limit (4Mi)")
      ->transform(kQuantity)
      ->group(group);
  up.add_option("--read-buffer-size", app.read_buffer_size, "Most bytes of request headers (4Ki)")
      ->transform(kQuantity)
      ->group(group);
}

void add_up_flags(CLI::App& up, UpOptions& options) {
  add_app_flags(up, options.app);
  add_door_flags(up, options.app);
  up.add_option("--apps", options.apps_file, "YAML or JSON list of apps, followed while it runs");
  up.add_option("--resources-path,--components-path", options.resources_paths,
                "Folder with component files (repeatable); default: a state store and a broker on SQLite")
      ->allow_extra_args(false);
  up.add_option("--config", options.configs, "Configuration file (repeatable)")->allow_extra_args(false);
  up.add_option("--log-level", options.log_level, "How much to log")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "fatal"}))
      ->capture_default_str();
  up.add_flag("--log-as-json", options.log_as_json, "Log JSON lines");
  up.add_option("--run-dir", options.run_dir, "Folder of sockets and pid files")->capture_default_str();
  up.add_option("--data-dir", options.data_dir, "Folder of what must survive")->capture_default_str();
  up.add_option("--transport", options.transport, "Lanes between the processes: shm, ipc or tcp")
      ->capture_default_str();
  up.add_option("--admin-port,--metrics-port", options.admin_port, "Port of /metrics and /status; 0: a free one")
      ->capture_default_str();
  up.add_option("--dapr-graceful-shutdown-seconds", options.graceful_shutdown_seconds,
                "Longest time to finish what runs")
      ->check(CLI::Range(0U, 3600U))
      ->capture_default_str();
  up.add_option("--gateways", options.gateways,
                "Gateway processes behind the same ports; default: 1 up to 7 CPUs, then one for 4, at most 8")
      ->check(CLI::Range(1U, kMostGateways));
  CLI::Option* const instances =
      up.add_option_function<std::vector<std::string>>(
            "--instances",
            [&options](const std::vector<std::string>& all) {
              for (const std::string& one : all) {
                const auto added = add_instances(options.instances, one);
                if (!added) throw CLI::ValidationError(added.error().message);
              }
            },
            "CAPABILITY=N: so many processes of it, which share what it serves by key (repeatable)")
          ->allow_extra_args(false);
  up.add_flag("--in-process", options.in_process,
              "Gateway and all capabilities in one process: nothing is apart from anything, to measure what that costs")
      ->excludes("--transport")
      ->excludes("--gateways")
      ->excludes(instances);
}

Parsed refused(const std::string& why) {
  Parsed parsed;
  parsed.text = "caisson: " + why + "\n";
  parsed.exit_code = 1;
  return parsed;
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  Options options;
  options.run_dir = default_run_dir();
  options.up.run_dir = default_run_dir();
  options.up.data_dir = default_data_dir();

  CLI::App caisson("Caisson: an application runtime with Dapr's APIs, each capability in a process of its own.",
                   "caisson");
  caisson.require_subcommand(1);
  caisson.set_version_flag("--version", CAISSON_VERSION);
  caisson.footer(
      "caisson COMMAND --help says more. Try: caisson up, then in another shell\n"
      "  curl -X POST localhost:3500/v1.0/state/statestore "
      "-d '[{\"key\":\"a\",\"value\":1}]' -H 'content-type: application/json'\n"
      "  curl localhost:3500/v1.0/state/statestore/a");
  CLI::App* const up = caisson.add_subcommand("up", "Start the runtime and stay in the foreground");
  CLI::App* const status = caisson.add_subcommand("status", "Show processes, apps and components");
  CLI::App* const restart = caisson.add_subcommand("restart", "Restart one process");
  CLI::App* const stop = caisson.add_subcommand("stop", "End the runtime gracefully");
  CLI::App* const health =
      caisson.add_subcommand("health", "GET a path of a port on this host; exit code 0 where the answer is 2xx");
  add_up_flags(*up, options.up);
  for (CLI::App* command : {status, restart, stop}) {
    command->add_option("--run-dir", options.run_dir, "Folder given to `caisson up`")->capture_default_str();
  }
  status->add_flag("--json", options.json, "Print JSON");
  restart
      ->add_option(
          "NAME", options.capability,
          "gateway, state, pubsub, config, invoke, secrets, lock, one of several instances, e.g. state-2, or a "
          "compartment, e.g. pubsub.kafka")
      ->required();

  health->add_option("--port", options.health_port, "Port on the loopback interface")->capture_default_str();
  health->add_option("--path", options.health_path, "What to ask")
      ->check([](const std::string& path) {
        const bool good = path.starts_with('/') && path.find_first_of(" \r\n") == std::string::npos;
        return good ? std::string() : "'" + path + "' is not a path";
      })
      ->capture_default_str();

  try {
    caisson.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream text;
    Parsed parsed;
    parsed.exit_code = caisson.exit(success, text, text);
    parsed.text = text.str();
    return parsed;
  } catch (const CLI::ParseError& error) {
    std::string what = error.what();
    return refused(what.substr(0, what.find('\n')) + " (caisson --help)");
  }

  if (up->parsed() && options.up.data_dir.empty()) return refused("HOME is not set, so give --data-dir");
  options.command = status->parsed()    ? Command::kStatus
                    : restart->parsed() ? Command::kRestart
                    : stop->parsed()    ? Command::kStop
                    : health->parsed()  ? Command::kHealth
                                        : Command::kUp;
  options.run_dir = absolute(options.run_dir);
  make_paths_absolute(options.up);
  return Parsed{true, std::move(options), {}, 0};
}

void make_paths_absolute(UpOptions& options) {
  options.run_dir = absolute(options.run_dir);
  options.data_dir = absolute(options.data_dir);
  options.apps_file = absolute(options.apps_file);
  options.log_file = absolute(options.log_file);
  options.app.unix_socket_dir = absolute(options.app.unix_socket_dir);
  for (std::string& path : options.resources_paths) path = absolute(path);
  for (std::string& path : options.configs) path = absolute(path);
}

Result<std::int64_t> parse_quantity(const std::string& text) {
  static const std::map<std::string_view, std::int64_t> kUnits = {
      {"", 1},         {"k", 1000},     {"K", 1000},    {"M", 1'000'000}, {"G", 1'000'000'000},
      {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}};
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto unit = kUnits.find(std::string_view(end, text.data() + text.size()));
  std::int64_t bytes = 0;
  if (error != std::errc() || unit == kUnits.end() || number < -1 ||
      __builtin_mul_overflow(number, unit->second, &bytes) || (number == -1 && unit->second != 1)) {
    return Error{Errc::kInvalidArgument, fmt::format("'{}' is not a size such as 4Mi", text)};
  }
  return bytes;
}

std::string default_run_dir() {
  const char* const base = std::getenv("XDG_RUNTIME_DIR");
  if (base != nullptr && *base == '/') return std::string(base) + "/caisson";
  return fmt::format("/tmp/caisson-{}", ::geteuid());
}

std::string default_data_dir() {
  const char* const home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.caisson/data" : std::string();
}

}  // namespace caisson::cli
