#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "net/tls.hpp"
#include "sdk/component_set.hpp"

namespace caisson::redis {

struct Address {
  std::string host;
  std::uint16_t port = 6379;
};

/// How to reach a server: the metadata keys common to all of Dapr's Redis components.
struct Settings {
  std::vector<Address> addresses;  // one server, or all sentinels
  std::string username;
  std::string password;
  std::string sentinel_username;
  std::string sentinel_password;
  std::string sentinel_master;  // not empty: addresses are sentinels
  std::uint32_t database = 0;
  bool tls = false;
  net::TlsOptions tls_options{.certificate = {"", "clientCert"}, .key = {"", "clientKey"}};
  Nanos dial_timeout = std::chrono::seconds(5);
  Nanos read_timeout = std::chrono::seconds(3);
  Nanos min_retry_interval = std::chrono::milliseconds(8);
  Nanos max_retry_interval = std::chrono::milliseconds(512);

  /// kInvalidArgument names the key; kUnimplemented for what is known and not supported (Cluster).
  static Result<Settings> parse(const sdk::Metadata& metadata);
};

}  // namespace caisson::redis
