#include "in-process/capabilities.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "gateway/folder_watch.hpp"
#include "gateway/gateway.hpp"
#include "sdk/counters.hpp"

namespace caisson::in_process {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using caisson::testing::TemporaryDirectory;

/// A capability that answers a call of its own name and remembers how it ended.
class Echo final : public sdk::Capability {
 public:
  Echo(std::string name, bool& drained) : name_(std::move(name)), drained_(drained) {}

  void define(sdk::Definition& definition) override {
    Route route;
    route.method = "GET";
    route.path = "/" + name_;
    definition.route(route, [](sdk::Request& request) { return answer(request); });
  }
  Task<void> drain(Deadline) override {
    drained_ = true;
    co_return;
  }

 private:
  static Task<sdk::Response> answer(sdk::Request&) { co_return sdk::Response{}; }

  std::string name_;
  bool& drained_;
};

class CapabilitiesTest : public ::testing::Test {
 protected:
  Resident echo(const std::string& name) {
    return {name, [this, name](sdk::Context&) { return std::make_unique<Echo>(name, drained[name]); }};
  }
  gateway::Gateway::Options gateway_options() { return {.run_dir = run_dir, .dispatch = {}, .http = {}}; }
  gateway::Gateway::Handlers gateway_handlers() {
    gateway::Gateway::Handlers handlers;
    handlers.make_listener = [this](const std::string& process) {
      return transport.make_listener(gateway::inproc_address(process));
    };
    return handlers;
  }
  [[nodiscard]] std::vector<std::string> linked() const {
    std::vector<std::string> names;
    for (const gateway::CapabilityFacts& capability : gateway.capabilities()) {
      for (const auto& instance : capability.instances) {
        if (instance.linked) names.push_back(capability.name);
      }
    }
    return names;
  }

  const TemporaryDirectory folder;
  const std::string run_dir = folder.path() / "run";
  const std::string data_dir = folder.path() / "data";
  const SystemClock clock;
  EventLoop loop{clock};
  std::map<std::string, bool> drained;
  Transport transport{loop};
  gateway::Gateway gateway{loop, gateway_options(), gateway_handlers()};
  Capabilities capabilities{loop, {run_dir, data_dir, 0}, {echo("north"), echo("south")}};
};

TEST_F(CapabilitiesTest, EachIsLinkedToTheGatewayWithFoldersAndCountersOfItsOwn) {
  EXPECT_TRUE(capabilities.includes("north"));
  EXPECT_FALSE(capabilities.includes("east"));
  EXPECT_FALSE(capabilities.includes("north.b"));

  ASSERT_TRUE(capabilities.install_manifests(run_dir + "/manifests"));
  ASSERT_TRUE(gateway.start());
  ASSERT_TRUE(capabilities.start(transport));
  run_until(loop, [&] { return linked().size() == 2; });

  EXPECT_THAT(linked(), ::testing::ElementsAre("north", "south"));
  for (const char* name : {"north", "south"}) {
    EXPECT_TRUE(std::filesystem::is_directory(data_dir + "/" + name));
    const auto values = sdk::read_counters(run_dir + "/" + name + "/" + name + ".counters");
    ASSERT_TRUE(values) << values.error().message;
    EXPECT_NE(std::ranges::find(*values, "requests_total", &sdk::CounterValue::name), values->end());
  }
}

TEST_F(CapabilitiesTest, TheEndOfTheGatewayLetsAllOfThemFinish) {
  ASSERT_TRUE(capabilities.install_manifests(run_dir + "/manifests"));
  ASSERT_TRUE(gateway.start());
  ASSERT_TRUE(capabilities.start(transport));
  run_until(loop, [&] { return linked().size() == 2; });
  const Deadline deadline = loop.deadline_in(std::chrono::seconds(30));

  run(loop, gateway.shut_down_gracefully(deadline));
  run(loop, capabilities.drain(deadline));

  EXPECT_TRUE(drained["north"]);
  EXPECT_TRUE(drained["south"]);
  EXPECT_FALSE(deadline.passed(loop.now()));
}

TEST_F(CapabilitiesTest, AFolderThatCannotBeMadeIsNamed) {
  std::filesystem::create_directories(run_dir);
  ASSERT_TRUE(gateway::replace_file(data_dir, "a file"));

  const auto installed = capabilities.install_manifests(run_dir + "/manifests");

  ASSERT_FALSE(installed);
  EXPECT_THAT(installed.error().message, ::testing::HasSubstr("/data/north"));
}

}  // namespace
}  // namespace caisson::in_process
