#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson {

/// Some components of one capability that have a process of their own. As an audience of configuration
/// it is called CAPABILITY/NAME; as a process, socket directory and pid file CAPABILITY.NAME. The
/// capability's own process serves the rest.
struct Compartment {
  std::string capability;
  std::string name;
  std::vector<std::string> types;       // of its components
  std::vector<std::string> components;  // whose requests go there

  [[nodiscard]] std::string audience() const { return capability + "/" + name; }
  [[nodiscard]] std::string process() const { return capability + "." + name; }
  bool operator==(const Compartment&) const = default;
};

/// Each is a process with a socket directory.
inline constexpr std::size_t kMostCompartments = 64;
/// Processes that serve the same components of one capability.
inline constexpr unsigned kMostInstances = 16;
inline constexpr std::size_t kLargestCompartmentList = 1024 * 1024;

/// 1 to 24 lower-case letters, digits and '-': it becomes part of a socket's path.
bool is_compartment_name(std::string_view text);

/// "state.b" of the audience "state/b"; the name itself where an audience has no compartment.
std::string process_of(std::string_view audience);
/// The other way round.
std::string audience_of(std::string_view process);
/// "state" of the process "state.b" or the audience "state/b".
std::string_view capability_of(std::string_view process_or_audience);
/// "b" of either; empty: the capability's own.
std::string_view compartment_of(std::string_view process_or_audience);

/// The compartments in use as the publisher of configuration writes them into a file, for those who
/// start processes and those who must know before it speaks:
/// [{"capability","name","types":[…],"components":[…]}]
std::string to_json(const std::vector<Compartment>& compartments);
/// kInvalidArgument names the member. At most kMostCompartments, none twice.
Result<std::vector<Compartment>> parse_compartments(std::string_view json);

}  // namespace caisson
