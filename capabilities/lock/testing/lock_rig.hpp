#pragma once

#include <gtest/gtest.h>

#include "bus/testing/temporary_directory.hpp"
#include "capabilities/lock/capability.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::lock::testing {

/// The capability behind a gateway that the test plays, with the stores "locks" (lock.sqlite) and "private"
/// (for the app "bank" only).
class LockRig : public ::testing::Test {
 protected:
  LockRig() {
    for (const char* app : {"shop", "bank"}) gateway_.set_app(app);
    generation_.components = {component("locks", "lock.sqlite"), component("private", "lock.sqlite")};
    generation_.components[1].scopes = {"bank"};
  }

  static config::Component component(const std::string& name, const std::string& type,
                                     const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    config::Component component;
    component.name = name;
    component.type = type;
    component.version = "v1";
    component.origin = {"resources/" + name + ".yaml", 1};
    for (const auto& [key, value] : metadata) {
      config::MetadataItem item;
      item.name = key;
      item.value = value;
      component.metadata.push_back(item);
    }
    return component;
  }

  void configure() { ASSERT_EQ(gateway_.configure(generation_), ""); }

  caisson::testing::Answer post(const std::string& path, const std::string& body, const std::string& app = "shop") {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = path;
    ask.body = body;
    ask.app = app;
    return gateway_.ask(ask);
  }

  caisson::testing::TemporaryDirectory directory_;
  SystemClock clock_;
  EventLoop loop_{clock_};
  caisson::testing::FakeGateway gateway_{loop_, "lock", make_lock, directory_.path().string()};
  config::Generation generation_;
};

}  // namespace caisson::lock::testing
