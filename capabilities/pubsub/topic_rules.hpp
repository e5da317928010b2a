#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/component_set.hpp"

namespace caisson::pubsub {

/// Which app may publish and subscribe to which topic of a component, and what its topics and
/// consumer groups are called at the broker. From the component's metadata.
class TopicRules {
 public:
  TopicRules() = default;
  explicit TopicRules(const sdk::Metadata& metadata);

  [[nodiscard]] bool may_publish(std::string_view app, std::string_view topic) const;
  [[nodiscard]] bool may_subscribe(std::string_view app, std::string_view topic) const;

  /// The name at the broker: with the namespace in front where the component is namespaced.
  [[nodiscard]] std::string broker_topic(std::string_view topic) const;
  /// The app's consumer group: `consumerID`, or the app's id.
  [[nodiscard]] std::string group_of(std::string_view app) const;

 private:
  using Scopes = std::map<std::string, std::vector<std::string>, std::less<>>;
  [[nodiscard]] bool allows(const Scopes& scopes, std::string_view app, std::string_view topic) const;
  static Scopes parse_scopes(std::string_view text);

  std::vector<std::string> allowed_;
  std::vector<std::string> protected_;
  Scopes publishing_;
  Scopes subscription_;
  std::string consumer_id_;
  std::string namespace_;
  bool namespaced_ = false;
};

}  // namespace caisson::pubsub
