#pragma once

#include <string>
#include <string_view>

#include "gateway/facts.hpp"
#include "gateway/gateway_counters.hpp"
#include "sdk/counters.hpp"

namespace caisson::gateway {

/// Everything that is counted, in Prometheus' text format: the gateway's own counters, what it knows
/// of apps and capabilities, and every instance's counter table, labelled with capability and
/// instance; of a dead instance what it wrote last. Reads the tables from their files, so it takes
/// a few system calls per instance. At most kMaxSeries series come from tables.
///
/// `shared_run_dir`, where several gateways share the apps' ports: the first one's run directory. The
/// gateways' own counters carry the label gateway then, and those of the others are read from
/// RUN_DIR/gateways/NUMBER/gateway.counters.
std::string render_metrics(const Facts& facts, const GatewayCounters& counters, const std::string& shared_run_dir = {});

/// Puts a gateway's own counters into a table for another gateway to show.
void publish(const GatewayCounters& counters, sdk::Counters& table);
inline constexpr std::string_view kGatewayCounters = "gateway.counters";

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
