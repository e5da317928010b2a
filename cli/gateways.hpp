#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bus/compartments.hpp"

namespace caisson::cli {

/// Several gateways may share the apps' ports: docs/decisions/0011-gateway-processes.md. They are numbered
/// from 1; the first is what a single one is, in name and run directory.
inline constexpr std::uint32_t kMostGateways = kMostInstances;

/// As many as `cpus` CPUs can feed beside capabilities and apps: one up to 7, then one for 4, at most 8.
std::uint32_t gateways_for(std::uint32_t cpus);
/// The CPUs this process may run on: a cpuset counts.
std::uint32_t usable_cpus();

/// "gateway", then "gateway-2", …
std::string gateway_name(std::uint32_t number);
/// The number in a gateway's name; 0: no gateway is called that.
std::uint32_t gateway_number(std::string_view name);
/// RUN_DIR, then RUN_DIR/gateways/2, …
std::string gateway_run_dir(const std::string& run_dir, std::uint32_t number);

}  // namespace caisson::cli
