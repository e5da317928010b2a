#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson::gateway {

/// One app and the door that stands open for it. Flag names and defaults are daprd's.
struct AppConfig {
  std::string id;

  // The runtime's side: what the app connects to.
  std::uint16_t http_port = 3500;  // 0: the system chooses
  std::uint16_t grpc_port = 50001;
  std::vector<std::string> listen_addresses;  // empty: all interfaces
  std::string unix_socket_dir;                // not empty: DIR/dapr-APP-http.socket instead of TCP
  std::string api_token;                      // empty: none is asked for
  std::size_t max_body_size = 4 * 1024 * 1024;
  std::size_t read_buffer_size = 4 * 1024;  // all request headers together

  // The app's side: where it listens.
  std::uint16_t app_port = 0;  // 0: no app channel
  std::string app_protocol = "http";
  std::string app_channel_address = "127.0.0.1";
  std::int64_t app_max_concurrency = -1;  // -1: no limit
  std::string app_token;                  // sent to the app as dapr-api-token
  bool health_check = false;
  std::string health_path = "/healthz";
  Nanos health_interval = std::chrono::seconds(5);
  Nanos health_timeout = std::chrono::milliseconds(500);
  std::uint32_t health_threshold = 3;
  /// Paths that are not asked of the app although a manifest wants them (--disable-init-endpoints).
  std::vector<std::string> disabled_queries;

  bool operator==(const AppConfig&) const = default;
};

/// Reads the apps file: a JSON array of objects with the members of AppConfig in lower camel case
/// ("id", "httpPort", "appPort", "apiToken", …; durations in milliseconds). `caisson up` writes it.
/// kInvalidArgument names app and member.
Result<std::vector<AppConfig>> parse_apps(std::string_view json);

/// The same, written.
std::string to_json(const std::vector<AppConfig>& apps);

}  // namespace caisson::gateway
