#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/facts.hpp"

namespace caisson::gateway {

/// Whether the runtime is ready for an app, as `/v1.0/healthz` says it: true once every configured
/// capability has ended the first attempt to initialise each of its components (up or down), and
/// the app's port, if it has one, has been open once. That latches: what happens to a capability or
/// the app later does not change it; only shutdown does. One thread.
class Health {
 public:
  explicit Health(const Facts& facts) : facts_(facts) {}

  /// Looks at the facts; called now and then until ready(), and before each answer.
  void observe();
  /// Nothing is left to observe.
  [[nodiscard]] bool latched() const;

  /// Why the runtime is not ready for the app, in words; empty: it is.
  [[nodiscard]] std::string not_ready_reason(std::string_view app) const;

  /// One part that a caller requires, and what is wrong with it; empty: nothing.
  struct Part {
    std::string name;
    std::string reason;
  };
  /// The truth of this moment about named parts: a capability is there when an instance of its own
  /// process and one of each compartment in use is linked and not draining; a compartment
  /// (CAPABILITY.NAME) when one of its own is; a component when it is up in one and the app may use it.
  [[nodiscard]] std::vector<Part> check(const std::vector<std::string>& names, std::string_view app) const;

 private:
  [[nodiscard]] std::string what_is_wrong_with(const std::string& name, std::string_view app) const;
  [[nodiscard]] static std::optional<std::string> what_is_wrong_with_capability(const std::vector<CapabilityFacts>& all,
                                                                                const std::string& name);

  const Facts& facts_;
  std::set<std::string> initialised_;  // capabilities that have once been
  bool capabilities_ready_ = false;
  std::string waits_for_;
};

}  // namespace caisson::gateway
