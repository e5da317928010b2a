#pragma once

#include <cstdint>

namespace caisson::gateway {

/// What this gateway counts of its own work, rendered at /metrics (gateway/metrics.cpp has the
/// names). One thread, like everything that counts here.
struct GatewayCounters {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_open = 0;  // now
  std::uint64_t requests = 0;
  std::uint64_t requests_malformed = 0;
  std::uint64_t requests_unauthenticated = 0;
  std::uint64_t requests_too_large = 0;
  std::uint64_t requests_parked = 0;
  std::uint64_t requests_resent = 0;
  std::uint64_t requests_overloaded = 0;
  std::uint64_t requests_too_late = 0;
  std::uint64_t requests_unknown_outcome = 0;
  std::uint64_t requests_quarantined = 0;
  std::uint64_t calls = 0;
  std::uint64_t calls_denied = 0;
  std::uint64_t calls_over_hop_limit = 0;
  std::uint64_t calls_forwarded = 0;
  std::uint64_t links_opened = 0;
  std::uint64_t links_lost = 0;
  std::uint64_t frames_refused = 0;
};

}  // namespace caisson::gateway
