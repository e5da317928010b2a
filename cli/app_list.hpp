#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson::cli {

/// One app as a person describes it; becomes one object of RUN_DIR/apps.json, which the gateway
/// reads. Defaults are daprd's.
struct App {
  std::string id = "app";
  std::uint16_t http_port = 3500;  // 0: the system chooses
  std::uint16_t grpc_port = 50001;
  std::vector<std::string> listen_addresses;
  std::string unix_socket_dir;
  std::string api_token;
  std::int64_t max_body_size = 4 * 1024 * 1024;
  std::int64_t read_buffer_size = 4 * 1024;
  std::uint16_t app_port = 0;
  std::string app_protocol = "http";
  std::string app_channel_address = "127.0.0.1";
  std::int64_t app_max_concurrency = -1;
  std::string app_token;
  bool health_check = false;
  std::string health_path = "/healthz";
  std::int64_t health_interval_ms = 5000;
  std::int64_t health_timeout_ms = 500;
  std::int64_t health_threshold = 3;
  std::vector<std::string> disabled_queries;

  bool operator==(const App&) const = default;
};

/// Reads an apps file: a YAML or JSON list of mappings whose members are App's in lower camel case
/// ("id", "httpPort", "appPort", …; durations in milliseconds). A port of the runtime that is left
/// out is chosen by the system. kInvalidArgument names line, app and member.
Result<std::vector<App>> parse_apps_file(const std::string& text);

/// Fails with kInvalidArgument when two apps share an id or a port, or an app listens on a port of
/// the runtime.
Result<void> check_apps(const std::vector<App>& apps);

std::string apps_to_json(const std::vector<App>& apps);

}  // namespace caisson::cli
