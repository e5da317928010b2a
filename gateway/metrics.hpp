#pragma once

#include <string>

#include "gateway/facts.hpp"
#include "gateway/gateway_counters.hpp"

namespace caisson::gateway {

/// Everything that is counted, in Prometheus' text format: the gateway's own counters, what it knows
/// of apps and capabilities, and every instance's counter table, labelled with capability and
/// instance; of a dead instance what it wrote last. Reads the tables from their files, so it takes
/// a few system calls per instance. At most kMaxSeries series come from tables.
std::string render_metrics(const Facts& facts, const GatewayCounters& counters);

inline constexpr std::size_t kMaxSeries = 20'000;

/// The same for people and `caisson status`, as JSON:
/// {"version","pid","uptimeSeconds",
///  "apps":[{"id","httpPort","port","reachable","healthy","incarnation"}],
///  "capabilities":[{"name","configured","parked","instances":[{"instance","pid","version","linked",
///    "draining","sinceSeconds","inFlight","config":{"term","sequence"},
///    "components":[{"name","type","version","state","reason"?}]}]}]}
/// `now` and `started` are of CLOCK_MONOTONIC.
std::string render_status(const Facts& facts, Nanos now, Nanos started);

}  // namespace caisson::gateway
