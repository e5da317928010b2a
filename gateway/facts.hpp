#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/clock.hpp"
#include "bus/lane.hpp"
#include "gateway/app_channel.hpp"
#include "gateway/app_config.hpp"

namespace caisson::gateway {

/// One instance of a capability, as far as this gateway knows.
struct InstanceFacts {
  std::string capability;
  std::string instance;
  std::string version;
  std::int64_t pid = 0;
  bool linked = false;  // false: it was there, and its link is down
  bool draining = false;
  Nanos since{};  // of the link's present state, CLOCK_MONOTONIC
  std::size_t in_flight = 0;
  /// Payload of its last Status frame (sdk/status.hpp); empty before the first.
  std::string status;
  std::uint64_t config_term = 0;
  std::uint64_t config_sequence = 0;
  /// Where its counter table lies; empty: none.
  std::string counters_path;
  /// Of the lane to it, from this end; while it is linked.
  LaneCounters lane;
};

/// The instances of a capability's own process, or those of one of its compartments.
struct CapabilityFacts {
  std::string name;         // CAPABILITY or CAPABILITY.COMPARTMENT
  bool configured = false;  // a manifest is installed, and a compartment is in use
  std::vector<InstanceFacts> instances;
  /// Of a compartment: the components whose requests go there.
  std::vector<std::string> components;
  std::size_t parked = 0;  // requests that wait for an instance
};

/// What the gateway can say about itself and the rest; read by the runtime capability, /status and
/// /metrics. One thread.
class Facts {
 public:
  [[nodiscard]] virtual std::vector<CapabilityFacts> capabilities() const = 0;
  [[nodiscard]] virtual const AppChannel* app(std::string_view id) const = 0;
  [[nodiscard]] virtual std::vector<const AppChannel*> apps() const = 0;
  [[nodiscard]] virtual bool shutting_down() const = 0;
  /// Ends the whole runtime gracefully, as SIGTERM does; `force`: at once, with exit code 1.
  virtual void shut_down(bool force) = 0;

 protected:
  ~Facts() = default;
};

}  // namespace caisson::gateway
