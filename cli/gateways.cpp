#include "cli/gateways.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "cli/instances.hpp"

namespace caisson::cli {

std::uint32_t gateways_for(std::uint32_t cpus) { return std::clamp(cpus / 4, 1U, 8U); }

std::uint32_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;  // more than the set can hold
  return static_cast<std::uint32_t>(CPU_COUNT(&set));
}

std::string gateway_name(std::uint32_t number) { return instance_name("gateway", number); }

std::uint32_t gateway_number(std::string_view name) {
  for (std::uint32_t number = 1; number <= kMostGateways; ++number) {
    if (name == gateway_name(number)) return number;
  }
  return 0;
}

std::string gateway_run_dir(const std::string& run_dir, std::uint32_t number) {
  return number == 1 ? run_dir : fmt::format("{}/gateways/{}", run_dir, number);
}

}  // namespace caisson::cli
