#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/pubsub/json_value.hpp"
#include "config-cache/documents.hpp"
#include "sdk/expression.hpp"

namespace caisson::pubsub {

/// Whether a route must have a path: HTTP apps are called by it, gRPC apps only told.
enum class Paths : std::uint8_t { kRequired, kMayBeEmpty };

/// Chooses the path an event is delivered to: the first rule whose condition over `event` holds,
/// else the default. A condition that cannot be evaluated for an event (it lacks the field) does
/// not hold. Immutable.
class Router {
 public:
  /// Nothing has a path.
  Router() = default;
  /// Where paths may be empty, a subscription without rules and default takes everything.
  explicit Router(const config::Subscription& subscription, Paths paths = Paths::kRequired);

  /// Nothing: no rule holds, and there is no default.
  [[nodiscard]] std::optional<std::string> route(const JsonValue& event) const;
  /// What cannot be understood, in words; such a rule is passed over.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// True when no event can have a path.
  [[nodiscard]] bool empty() const { return rules_.empty() && !default_path_; }

 private:
  struct Rule {
    std::optional<sdk::Expression> condition;  // none: always
    std::string path;
  };
  std::vector<Rule> rules_;
  std::optional<std::string> default_path_;
  std::string problem_;
};

}  // namespace caisson::pubsub
