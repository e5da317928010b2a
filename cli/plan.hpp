#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bus/compartments.hpp"
#include "bus/result.hpp"
#include "cli/child.hpp"
#include "cli/options.hpp"

namespace caisson::cli {

/// Name of the process of --in-process, for status, restart and its pid file.
inline constexpr std::string_view kInProcess = "in-process";

/// Which processes `caisson up` starts, and how: everything about a process that is known before it
/// runs. No process is started here.
class Plan {
 public:
  /// `program_dir` holds the binaries. kInvalidArgument or kFailedPrecondition when the options
  /// cannot be carried out.
  static Result<Plan> make(UpOptions options, std::string program_dir, Environment environment);

  /// Names in the order in which they are started.
  [[nodiscard]] static std::vector<std::string> capabilities();

  /// One of options().gateways, from 1.
  [[nodiscard]] ProcessSpec gateway(std::uint32_t number = 1) const;
  /// The one process of --in-process.
  [[nodiscard]] ProcessSpec in_process() const;
  /// `number`: which of its instances.
  [[nodiscard]] ProcessSpec capability(const std::string& name, unsigned number = 1) const;
  /// How many instances it has.
  [[nodiscard]] unsigned instances_of(const std::string& name) const;
  /// The process of a compartment: caisson-CAPABILITY-DRIVER where one is installed for any of its
  /// types CAPABILITY.DRIVER, else the capability's own program. kNotFound: no such capability.
  [[nodiscard]] Result<ProcessSpec> compartment(const Compartment& compartment) const;
  /// Prints the capability's manifest.
  [[nodiscard]] ProcessSpec manifest_printer(const std::string& name) const;

  /// As given, with the number of gateways settled.
  [[nodiscard]] const UpOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<App>& apps() const { return apps_; }
  /// Where config lists the compartments that are in use.
  [[nodiscard]] std::string compartments_path() const { return options_.run_dir + "/config/compartments.json"; }
  [[nodiscard]] std::string manifests_dir() const { return options_.run_dir + "/manifests"; }
  [[nodiscard]] std::string apps_json_path() const { return options_.run_dir + "/apps.json"; }

 private:
  Plan() = default;
  /// The lane of processes that have no port: that of the flag, and ipc beside tcp.
  [[nodiscard]] std::string local_transport() const { return options_.transport == "shm" ? "shm" : "ipc"; }
  [[nodiscard]] std::string bus_address(const std::string& directory, std::uint32_t gateway = 1) const;
  /// `directory`: of its sockets, which the instances of one capability share.
  [[nodiscard]] ProcessSpec process(const std::string& name, const std::string& directory) const;
  [[nodiscard]] std::vector<std::string> gateway_arguments(std::uint32_t number) const;
  void add_resources_to(std::vector<std::string>& arguments) const;

  UpOptions options_;
  std::string program_dir_;
  Environment environment_;
  std::set<std::string> named_in_configuration_;
  std::vector<App> apps_;
  std::map<std::string, std::vector<std::uint16_t>> bus_ports_;  // --transport tcp: one of each gateway
};

/// The apps of the options: those of the apps file, or the one of the flags; each with the tokens of
/// the environment where it names none.
Result<std::vector<App>> apps_of(const UpOptions& options, const Environment& environment);

/// kFailedPrecondition names the flag when a port that was asked for is taken.
Result<void> check_ports(const std::vector<App>& apps, std::uint16_t admin_port);

}  // namespace caisson::cli
