#include "cli/plan.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/gateways.hpp"
#include "cli/run_dir.hpp"

namespace caisson::cli {

namespace {

/// Longest run directory: the socket RUN_DIR/secrets.COMPARTMENT/bus.sock must fit the system's 107 bytes.
constexpr std::size_t kLongestRunDir = 65;
/// Where several gateways have one each, the longest is RUN_DIR/gateways/16/secrets.COMPARTMENT/bus.sock.
constexpr std::size_t kLongestRunDirOfSeveral = kLongestRunDir - std::string_view("/gateways/16").size();

/// Binds a TCP port as the gateway will, and lets it go. Returns the port.
Result<std::uint16_t> try_port(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error{Errc::kResourceExhausted, std::strerror(errno)};
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool free = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 && ::listen(fd, 1) == 0 &&
                    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int number = errno;
  ::close(fd);
  if (!free) return Error{Errc::kFailedPrecondition, std::strerror(number)};
  return ntohs(address.sin_port);
}

Result<void> check_transport(const std::string& transport) {
  if (transport == "shm" || transport == "ipc" || transport == "tcp") return ok();
  return Error{Errc::kInvalidArgument, fmt::format("--transport {}: use shm, ipc or tcp", transport)};
}

bool has_unix_socket(const std::vector<App>& apps) {
  return std::ranges::any_of(apps, [](const App& app) { return !app.unix_socket_dir.empty(); });
}

/// How many gateways there are to be, of options that do not say: more than one only where nothing stands
/// against it.
Result<std::uint32_t> choose_gateways(UpOptions options, const Environment& environment) {
  if (options.in_process || options.as_daprd || options.run_dir.size() > kLongestRunDirOfSeveral) return 1U;
  options.gateways = 1;
  ASSIGN(const auto apps, apps_of(options, environment));
  return has_unix_socket(apps) ? 1U : gateways_for(usable_cpus());
}

}  // namespace

std::vector<std::string> Plan::capabilities() { return {"config", "state", "pubsub", "invoke", "secrets", "lock"}; }

Result<Plan> Plan::make(UpOptions options, std::string program_dir, Environment environment) {
  TRY(check_transport(options.transport));
  if (options.gateways == 0) {
    ASSIGN(options.gateways, choose_gateways(options, environment));
  }
  const std::size_t longest = options.gateways > 1 ? kLongestRunDirOfSeveral : kLongestRunDir;
  if (options.run_dir.size() > longest) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("--run-dir {}: longer than {} bytes, so its sockets could not be named", options.run_dir, longest)};
  }
  for (const auto& [name, count] : options.instances) {
    const auto known = capabilities();
    if (std::ranges::find(known, name) != known.end()) continue;
    return Error{Errc::kInvalidArgument,
                 fmt::format("--instances {}={}: no capability is called {}", name, count, name)};
  }
  Plan plan;
  ASSIGN(plan.apps_, apps_of(options, environment));
  for (const std::string& file : options.configs) {
    ASSIGN(const std::string text, read_file(file));
    plan.named_in_configuration_.merge(referenced_variables(text));
  }
  if (options.transport == "tcp") {
    for (const std::string& name : capabilities()) {
      for (std::uint32_t gateway = 1; gateway <= options.gateways; ++gateway) {
        ASSIGN(plan.bus_ports_[name].emplace_back(), try_port(0));
      }
    }
  }
  plan.options_ = std::move(options);
  plan.program_dir_ = std::move(program_dir);
  plan.environment_ = std::move(environment);
  std::vector<std::string> programs;
  if (plan.options_.in_process) {
    programs.push_back(plan.in_process().program);
  } else {
    for (const std::string& name : capabilities()) programs.push_back(plan.capability(name).program);
    programs.push_back(plan.gateway().program);
  }
  for (const std::string& program : programs) {
    if (::access(program.c_str(), X_OK) == 0) continue;
    return Error{Errc::kFailedPrecondition, fmt::format("{} is missing; build it first", program)};
  }
  return plan;
}

std::string Plan::bus_address(const std::string& directory, std::uint32_t gateway) const {
  const auto ports = bus_ports_.find(directory);  // a compartment has none: it came when the ports were given out
  if (ports != bus_ports_.end()) return fmt::format("tcp://127.0.0.1:{}", ports->second[gateway - 1]);
  return fmt::format("{}://{}/{}/bus.sock", local_transport(), gateway_run_dir(options_.run_dir, gateway), directory);
}

ProcessSpec Plan::gateway(std::uint32_t number) const {
  ProcessSpec spec;
  spec.name = gateway_name(number);
  spec.program = program_dir_ + "/caisson-gateway";
  spec.environment = environment_for("gateway", environment_, named_in_configuration_);
  spec.ends_with_parent = options_.as_daprd;
  spec.arguments = gateway_arguments(number);
  spec.arguments.insert(spec.arguments.end(),
                        {"--transport", local_transport(), "--compartments-file", compartments_path()});
  for (const auto& [name, ports] : bus_ports_) {
    spec.arguments.emplace_back("--bus-address");
    spec.arguments.push_back(fmt::format("{}={}", name, bus_address(name, number)));
  }
  if (number > 1) {
    spec.arguments.insert(spec.arguments.end(), {"--share-ports-of", options_.run_dir, "--manifests", manifests_dir()});
  } else if (options_.gateways > 1) {
    spec.arguments.emplace_back("--share-ports");
  }
  return spec;
}

/// What it needs of the gateway's environment, the tokens, is in the list of apps; of the others' it gets
/// what any of them would.
ProcessSpec Plan::in_process() const {
  ProcessSpec spec;
  spec.name = kInProcess;
  spec.program = program_dir_ + "/caisson-in-process";
  spec.environment = environment_for("state", environment_, named_in_configuration_);
  spec.environment.merge(environment_for("config", environment_, named_in_configuration_));
  spec.ends_with_parent = options_.as_daprd;
  spec.arguments = gateway_arguments(1);
  spec.arguments.insert(spec.arguments.end(), {"--data-dir", options_.data_dir});
  add_resources_to(spec.arguments);
  return spec;
}

std::vector<std::string> Plan::gateway_arguments(std::uint32_t number) const {
  std::vector<std::string> arguments = {"--run-dir",
                                        gateway_run_dir(options_.run_dir, number),
                                        "--apps",
                                        apps_json_path(),
                                        "--admin-port",
                                        fmt::format("{}", number == 1 ? options_.admin_port : 0),
                                        "--admin-listen-address",
                                        options_.admin_address,
                                        "--log-level",
                                        options_.log_level,
                                        "--dapr-graceful-shutdown-seconds",
                                        fmt::format("{}", options_.graceful_shutdown_seconds)};
  if (options_.log_as_json) arguments.emplace_back("--log-as-json");
  return arguments;
}

void Plan::add_resources_to(std::vector<std::string>& arguments) const {
  for (const std::string& path : options_.resources_paths) {
    arguments.insert(arguments.end(), {"--resources-path", path});
  }
  for (const std::string& file : options_.configs) arguments.insert(arguments.end(), {"--config", file});
}

ProcessSpec Plan::process(const std::string& name, const std::string& directory) const {
  const std::string capability(capability_of(directory));
  ProcessSpec spec;
  spec.name = name;
  spec.program = program_dir_ + "/caisson-" + capability;
  spec.environment = environment_for(capability, environment_, named_in_configuration_);
  spec.ends_with_parent = options_.as_daprd;
  spec.arguments = {"--connect",       bus_address(directory),
                    "--run-dir",       options_.run_dir,
                    "--data-dir",      options_.data_dir + "/" + capability,
                    "--instance",      name,
                    "--log-level",     options_.log_level,
                    "--drain-seconds", fmt::format("{}", options_.graceful_shutdown_seconds)};
  for (std::uint32_t gateway = 2; gateway <= options_.gateways; ++gateway) {
    spec.arguments.insert(spec.arguments.end(), {"--connect", bus_address(directory, gateway)});
  }
  if (options_.log_as_json) spec.arguments.emplace_back("--log-as-json");
  return spec;
}

Result<ProcessSpec> Plan::compartment(const Compartment& compartment) const {
  const auto known = capabilities();
  if (std::ranges::find(known, compartment.capability) == known.end()) {
    return Error{Errc::kNotFound, fmt::format("compartment {}: no capability is called {}", compartment.process(),
                                              compartment.capability)};
  }
  ProcessSpec spec = process(compartment.process(), compartment.process());
  spec.arguments.push_back("--compartment=" + compartment.name);
  for (const std::string& type : compartment.types) {
    const std::string_view driver = std::string_view(type).substr(std::min(type.find('.'), type.size() - 1) + 1);
    if (!is_compartment_name(driver)) continue;  // it would be part of a path
    const std::string program = fmt::format("{}/caisson-{}-{}", program_dir_, compartment.capability, driver);
    if (::access(program.c_str(), X_OK) != 0) continue;
    spec.program = program;
    break;
  }
  return spec;
}

unsigned Plan::instances_of(const std::string& name) const {
  const auto found = options_.instances.find(name);
  return found == options_.instances.end() ? 1 : found->second;
}

ProcessSpec Plan::capability(const std::string& name, unsigned number) const {
  ProcessSpec spec = process(instance_name(name, number), name);
  if (const unsigned all = instances_of(name); all > 1) {
    spec.arguments.insert(spec.arguments.end(), {"--instance-number", std::to_string(number)});
    spec.arguments.insert(spec.arguments.end(), {"--instances", std::to_string(all)});
  }
  if (name == "config") {
    spec.arguments.insert(spec.arguments.end(), {"--compartments-file", compartments_path()});
    add_resources_to(spec.arguments);
  }
  return spec;
}

ProcessSpec Plan::manifest_printer(const std::string& name) const {
  ProcessSpec spec = capability(name);
  spec.arguments = {"--print-manifest"};
  spec.ends_with_parent = false;  // it is over in a moment, and its output is wanted
  return spec;
}

Result<std::vector<App>> apps_of(const UpOptions& options, const Environment& environment) {
  std::vector<App> apps = {options.app};
  if (!options.apps_file.empty()) {
    ASSIGN(const std::string text, read_file(options.apps_file));
    auto parsed = parse_apps_file(text);
    if (!parsed) {
      return Error{parsed.error().code, fmt::format("{}: {}", options.apps_file, parsed.error().message)};
    }
    apps = *std::move(parsed);
  }
  const auto variable = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  for (App& app : apps) {
    if (app.api_token.empty()) app.api_token = variable("DAPR_API_TOKEN");
    if (app.app_token.empty()) app.app_token = variable("APP_API_TOKEN");
  }
  TRY(check_apps(apps));
  if (options.gateways > 1 && has_unix_socket(apps)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--gateways {}: a Unix socket (--unix-domain-socket, unixSocketDir) is one process's, "
                             "so it needs --gateways 1",
                             options.gateways)};
  }
  return apps;
}

Result<void> check_ports(const std::vector<App>& apps, std::uint16_t admin_port) {
  const auto check = [](std::uint16_t port, const std::string& flag) -> Result<void> {
    if (port == 0) return ok();
    const auto free = try_port(port);
    if (free) return ok();
    return Error{Errc::kFailedPrecondition, fmt::format("port {} ({}): {}", port, flag, free.error().message)};
  };
  TRY(check(admin_port, "--admin-port"));
  for (const App& app : apps) {
    if (!app.unix_socket_dir.empty()) continue;
    TRY(check(app.http_port, fmt::format("--dapr-http-port of app {}", app.id)));
    TRY(check(app.grpc_port, fmt::format("--dapr-grpc-port of app {}", app.id)));
  }
  return ok();
}

}  // namespace caisson::cli
