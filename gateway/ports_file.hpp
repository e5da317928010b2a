#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"
#include "gateway/app_config.hpp"

namespace caisson::gateway {

/// The ports that are open for an app; 0: none.
struct AppPorts {
  std::uint16_t http = 0;
  std::uint16_t grpc = 0;

  bool operator==(const AppPorts&) const = default;
};

using PortsByApp = std::map<std::string, AppPorts, std::less<>>;

/// RUN_DIR/gateway.json: what a gateway has opened. Whoever asked for port 0 finds it here, and so do the
/// gateways that share the ports of the first.
struct PortsFile {
  std::int64_t pid = 0;
  std::uint16_t admin = 0;
  PortsByApp apps;
};

std::string ports_path(const std::string& run_dir);

/// {"pid","admin","apps":[{"id","http","grpc"}]}
std::string to_json(const PortsFile& ports);
/// The apps of such a document; kInvalidArgument names what is wrong with it.
Result<PortsByApp> parse_ports(std::string_view json);
/// Those of a gateway's run directory. None where it has written no file.
Result<PortsByApp> read_ports(const std::string& run_dir);

/// The apps that have a door at another gateway, with the ports of that. Left out: those without one as yet,
/// and those for which it has not opened the ports that are asked for now.
std::vector<AppConfig> with_ports_of(const PortsByApp& other, std::vector<AppConfig> apps);

}  // namespace caisson::gateway
