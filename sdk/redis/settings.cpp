#include "sdk/redis/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace caisson::redis {

namespace {

constexpr std::uint16_t kDefaultPort = 6379;
constexpr std::int64_t kMostDatabases = 1 << 20;
/// "No limit" in Dapr; here a limit that nobody meets.
constexpr Nanos kNoLimit = std::chrono::hours(24);

Error bad(std::string_view key, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("metadata '{}' {}", key, what)};
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<std::uint16_t> parse_port(std::string_view key, std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return bad(key, fmt::format("has '{}' where a port from 1 to 65535 is meant", text));
  }
  return port;
}

/// "host", "host:port", "[v6]:port" or an IPv6 address by itself; `port` is redisPort, zero: not given.
Result<Address> parse_address(std::string_view text, std::uint16_t port) {
  Address address{std::string(text), port == 0 ? kDefaultPort : port};
  std::string_view after;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return bad("redisHost", "has '[' without ']'");
    address.host = text.substr(1, close - 1);
    after = text.substr(close + 1);
  } else if (std::ranges::count(text, ':') == 1) {
    address.host = text.substr(0, text.find(':'));
    after = text.substr(text.find(':'));
  }
  if (address.host.empty()) return bad("redisHost", "names no host");
  if (after.empty()) return address;
  if (!after.starts_with(':')) return bad("redisHost", "is not of the form host:port");
  ASSIGN(address.port, parse_port("redisHost", after.substr(1)));
  if (port != 0 && port != address.port) return bad("redisPort", "differs from the port in 'redisHost'");
  return address;
}

Result<void> parse_addresses(const sdk::Metadata& metadata, Settings& settings) {
  const std::string hosts = metadata.get("redisHost");
  if (trimmed(hosts).empty()) return bad("redisHost", "is missing");
  std::uint16_t port = 0;
  if (const std::string text = metadata.get("redisPort"); !text.empty()) {
    ASSIGN(port, parse_port("redisPort", text));
  }
  std::string_view rest = hosts;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    ASSIGN(Address address, parse_address(trimmed(rest.substr(0, comma)), port));
    settings.addresses.push_back(std::move(address));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return ok();
}

Result<void> parse_topology(const sdk::Metadata& metadata, Settings& settings) {
  const std::string type = metadata.get("redisType", "node");
  if (type == "cluster") return Error{Errc::kUnimplemented, "metadata 'redisType': Redis Cluster is not supported"};
  if (!type.empty() && type != "node") return bad("redisType", "must be node or cluster");
  for (const std::string_view key : {"useEntraID", "useAzureAD", "useOIDC"}) {
    ASSIGN(const bool wanted, metadata.get_bool(key, false));
    if (wanted) return Error{Errc::kUnimplemented, fmt::format("metadata '{}' is not supported", key)};
  }
  ASSIGN(const bool failover, metadata.get_bool("failover", false));
  if (failover) {
    settings.sentinel_master = metadata.get("sentinelMasterName");
    if (settings.sentinel_master.empty()) return bad("sentinelMasterName", "is missing; 'failover' needs it");
  } else if (settings.addresses.size() > 1) {
    return bad("redisHost", "names several hosts; only sentinels may be several, with 'failover'");
  }
  return ok();
}

/// Dapr's defaults stand for zero, "none" for what is negative.
Result<Nanos> parse_span(const sdk::Metadata& metadata, std::string_view key, Nanos otherwise, Nanos none) {
  ASSIGN(const Nanos span, metadata.get_duration(key, otherwise));
  if (span == Nanos::zero()) return otherwise;
  return span < Nanos::zero() ? none : span;
}

}  // namespace

Result<Settings> Settings::parse(const sdk::Metadata& metadata) {
  Settings settings;
  TRY(parse_addresses(metadata, settings));
  TRY(parse_topology(metadata, settings));
  settings.username = metadata.get("redisUsername");
  settings.password = metadata.get("redisPassword");
  settings.sentinel_username = metadata.get("sentinelUsername");
  settings.sentinel_password = metadata.get("sentinelPassword");
  ASSIGN(const std::int64_t database, metadata.get_int("redisDB", 0));
  if (database < 0 || database > kMostDatabases) return bad("redisDB", "is not the number of a database");
  settings.database = static_cast<std::uint32_t>(database);

  ASSIGN(settings.dial_timeout, parse_span(metadata, "dialTimeout", settings.dial_timeout, kNoLimit));
  ASSIGN(settings.read_timeout, parse_span(metadata, "readTimeout", settings.read_timeout, kNoLimit));
  const Nanos least = std::chrono::milliseconds(1);
  ASSIGN(settings.min_retry_interval,
         parse_span(metadata, "redisMinRetryInterval", settings.min_retry_interval, least));
  ASSIGN(settings.max_retry_interval,
         parse_span(metadata, "redisMaxRetryInterval", settings.max_retry_interval, least));
  settings.max_retry_interval = std::max(settings.max_retry_interval, settings.min_retry_interval);

  ASSIGN(settings.tls, metadata.get_bool("enableTLS", false));
  ASSIGN(const bool unverified, metadata.get_bool("insecureSkipTLSVerify", false));
  settings.tls_options.verify = !unverified;
  settings.tls_options.certificate.value = metadata.get("clientCert");
  settings.tls_options.key.value = metadata.get("clientKey");
  if (settings.tls) TRY(net::TlsContext::make(settings.tls_options));
  return settings;
}

}  // namespace caisson::redis
