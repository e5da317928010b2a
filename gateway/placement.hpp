#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bus/compartments.hpp"
#include "config-cache/documents.hpp"

namespace caisson::gateway {

/// Which process of a capability the requests for a component go to: the capability's own, unless its
/// generation says that a compartment of it holds the component. Known from configuration alone, so
/// also while that process is dead. One thread.
class Placement {
 public:
  /// What is believed until generations come.
  void begin_with(const std::vector<Compartment>& compartments);
  /// A generation is in force for its audience.
  void take(const config::Generation& generation);

  struct Holder {
    std::string_view process;  // as long as `capability` and this placement, until take()
    /// False: the process has not been told yet that it holds the component.
    bool ready = true;
  };
  [[nodiscard]] Holder holder(std::string_view capability, std::string_view component) const;

  /// The components whose requests go to a compartment.
  [[nodiscard]] std::vector<std::string> components_of(std::string_view process) const;

 private:
  using Elsewhere = std::map<std::string, std::string, std::less<>>;             // component to process
  std::map<std::string, Elsewhere, std::less<>> elsewhere_;                      // by capability; only divided ones
  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> told_;  // by a compartment's process
};

}  // namespace caisson::gateway
