#pragma once

#include <string>
#include <vector>

#include "gateway/facts.hpp"

namespace caisson::gateway::testing {

/// Facts as a test states them.
class FakeFacts final : public Facts {
 public:
  [[nodiscard]] std::vector<CapabilityFacts> capabilities() const override { return list; }
  [[nodiscard]] const AppChannel* app(std::string_view id) const override {
    for (const AppChannel* channel : channels) {
      if (channel->config().id == id) return channel;
    }
    return nullptr;
  }
  [[nodiscard]] std::vector<const AppChannel*> apps() const override { return channels; }
  [[nodiscard]] bool shutting_down() const override { return ending; }
  void shut_down(bool force) override {
    ending = true;
    shutdowns += force ? "forced " : "graceful ";
  }

  /// A configured capability with one linked instance that says `status` of itself; empty: none.
  CapabilityFacts& add(std::string name, std::string status) {
    CapabilityFacts capability;
    capability.name = name;
    capability.configured = true;
    InstanceFacts instance;
    instance.instance = name + "-1";
    instance.capability = std::move(name);
    instance.linked = true;
    instance.status = std::move(status);
    if (!instance.status.empty()) capability.instances.push_back(std::move(instance));
    list.push_back(std::move(capability));
    return list.back();
  }

  std::vector<CapabilityFacts> list;
  std::vector<const AppChannel*> channels;
  bool ending = false;
  std::string shutdowns;
};

}  // namespace caisson::gateway::testing
