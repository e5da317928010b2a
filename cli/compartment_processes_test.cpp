#include "cli/compartment_processes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "bus/testing/run.hpp"
#include "cli/run_dir.hpp"
#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;

/// Programs that run until they are told to end.
class CompartmentProcessesTest : public ::testing::Test {
 protected:
  CompartmentProcessesTest() {
    for (const char* name : {"gateway", "state", "pubsub", "config", "invoke", "secrets", "lock", "pubsub-kafka"}) {
      const std::string path = dir / ("caisson-" + std::string(name));
      EXPECT_TRUE(write_file(path, "#!/bin/sh\nexec tail -f /dev/null\n"));
      EXPECT_EQ(::chmod(path.c_str(), 0700), 0);
    }
    std::filesystem::create_directories(dir / "run/config");
    UpOptions options;
    options.run_dir = dir / "run";
    options.data_dir = dir / "data";
    options.resources_paths = {dir.path()};
    auto made = Plan::make(options, dir.path(), {{"PATH", "/usr/bin:/bin"}});
    EXPECT_TRUE(made);
    plan.emplace(*std::move(made));
    supervisor.emplace(loop, dir / "run", std::chrono::seconds(10), Supervisor::Hooks{});
    compartments.emplace(loop, *plan, *supervisor);
  }
  ~CompartmentProcessesTest() override {
    compartments->stop();
    supervisor->kill_all();
    run(loop, supervisor->stop());
  }

  void start() {
    ASSERT_TRUE(compartments->watch());
    compartments->start();
  }
  void list(const std::vector<Compartment>& all) { ASSERT_TRUE(write_file(plan->compartments_path(), to_json(all))); }
  std::int64_t pid(const std::string& name) {
    for (const ProcessStatus& status : supervisor->status()) {
      if (status.name == name && status.state == "running") return status.pid;
    }
    return 0;
  }
  std::int64_t running(const std::string& name) {
    run_until(loop, [&] { return pid(name) != 0; });
    return pid(name);
  }
  bool known(const std::string& name) {
    const auto all = supervisor->status();
    return std::ranges::any_of(all, [&](const ProcessStatus& status) { return status.name == name; });
  }
  /// An event that follows whatever the watch has caused.
  void settle() {
    const std::string marker = dir / "run/config/marker";
    int seen = 0;
    FolderWatch watch(loop, [&] { ++seen; });
    ASSERT_TRUE(watch.start({dir / "run/config"}));
    ASSERT_TRUE(write_file(marker, "x"));
    run_until(loop, [&] { return seen > 0; });
  }

  const SystemClock clock;
  EventLoop loop{clock};
  const TestDir dir;
  std::optional<Plan> plan;
  std::optional<Supervisor> supervisor;
  std::optional<CompartmentProcesses> compartments;
};

const Compartment kB{"state", "b", {"state.sqlite"}, {}};
const Compartment kC{"state", "c", {"state.sqlite"}, {}};

TEST_F(CompartmentProcessesTest, AProcessComesAndGoesWithItsEntryAndTheOthersAreLeftAlone) {
  list({kB});
  start();
  const std::int64_t b = running("state.b");

  list({kB, kC});
  const std::int64_t c = running("state.c");
  EXPECT_EQ(pid("state.b"), b);

  list({kC});
  run_until(loop, [&] { return !known("state.b"); });
  EXPECT_EQ(pid("state.c"), c);
  EXPECT_FALSE(std::filesystem::exists(dir / "run/state.b.pid"));
}

TEST_F(CompartmentProcessesTest, OneThatComesBackWhileItEndsIsStartedAgain) {
  list({kB});
  start();
  const std::int64_t before = running("state.b");

  list({});
  run_until(loop, [&] { return pid("state.b") == 0; });
  list({kB});

  EXPECT_NE(running("state.b"), before);
}

TEST_F(CompartmentProcessesTest, ADeadOneIsStartedAgain) {
  list({kB});
  start();
  const std::int64_t before = running("state.b");

  ::kill(static_cast<pid_t>(before), SIGKILL);

  run_until(loop, [&] { return pid("state.b") != 0 && pid("state.b") != before; });
}

TEST_F(CompartmentProcessesTest, AFileThatIsGarbageOrGoneLeavesEverythingAsItIs) {
  list({kB});
  start();
  const std::int64_t b = running("state.b");

  for (const std::string text : {"", "{", "[{\"capability\":\"../x\",\"name\":\"b\"}]", "[1,2]"}) {
    ASSERT_TRUE(write_file(plan->compartments_path(), text));
    settle();
    EXPECT_EQ(pid("state.b"), b) << text;
  }
  ASSERT_TRUE(write_file(plan->compartments_path(), std::string(kLargestCompartmentList + 1, ' ')));
  settle();
  std::filesystem::remove(plan->compartments_path());
  settle();
  EXPECT_EQ(pid("state.b"), b);
}

TEST_F(CompartmentProcessesTest, ACapabilityThatIsNotKnownIsPassedOver) {
  list({{"nobody", "b", {}, {}}, kB});
  start();

  running("state.b");

  EXPECT_FALSE(known("nobody.b"));
}

TEST_F(CompartmentProcessesTest, ATypeWithAProgramOfItsOwnReplacesTheProcess) {
  list({{"pubsub", "x", {"pubsub.redis"}, {}}});
  start();
  const std::int64_t before = running("pubsub.x");

  list({{"pubsub", "x", {"pubsub.kafka", "pubsub.redis"}, {}}});

  run_until(loop, [&] { return pid("pubsub.x") != 0 && pid("pubsub.x") != before; });
}

TEST_F(CompartmentProcessesTest, WhatAKilledSupervisorLeftIsTakenOverOrEnded) {
  // A compiled program: a script's interpreter would hide its name.
  const auto leave = [&](const Compartment& compartment) {
    ProcessSpec spec = *plan->compartment(compartment);
    std::filesystem::copy_file("/usr/bin/tail", spec.program, std::filesystem::copy_options::overwrite_existing);
    spec.arguments.insert(spec.arguments.begin(), {"-f", "/dev/null", "--"});
    auto child = Child::start(loop, spec);
    EXPECT_TRUE(child);
    EXPECT_TRUE(write_file(pid_file(dir / "run", compartment.process()), std::to_string((*child)->pid())));
    return *std::move(child);
  };
  const auto unwanted = leave(kB);
  ASSERT_TRUE(is_process(unwanted->pid(), dir / "run", "state.b"));
  ASSERT_FALSE(is_process(unwanted->pid(), dir / "run", "state.c"));
  list({});

  start();

  EXPECT_TRUE(run(loop, unwanted->ended(loop.deadline_in(std::chrono::seconds(20)))));
  run_until(loop, [&] { return !std::filesystem::exists(pid_file(dir / "run", "state.b")); });
}

TEST_F(CompartmentProcessesTest, AfterStopNothingIsStarted) {
  start();
  compartments->stop();

  list({kB});
  settle();

  EXPECT_FALSE(known("state.b"));
}

}  // namespace
}  // namespace caisson::cli
