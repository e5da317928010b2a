#include "cli/supervisor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "bus/testing/run.hpp"
#include "cli/run_dir.hpp"
#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using ::testing::HasSubstr;

/// A shell as the process that is kept running.
ProcessSpec shell(const std::string& name, const std::string& script) {
  return ProcessSpec{name, "/bin/sh", {"-c", script}, {{"PATH", "/usr/bin:/bin"}}};
}
const char* const kForever = "exec tail -f /dev/null";

class SupervisorTest : public ::testing::Test {
 protected:
  ~SupervisorTest() override {
    supervisor.kill_all();
    run(loop, supervisor.stop());
  }
  ProcessStatus of(const std::string& name) {
    for (const ProcessStatus& status : supervisor.status()) {
      if (status.name == name) return status;
    }
    return {};
  }
  std::int64_t running(const std::string& name) {
    run_until(loop, [&] { return of(name).state == "running"; });
    return of(name).pid;
  }

  const SystemClock clock;
  EventLoop loop{clock};
  const TestDir dir;
  std::optional<int> ended;
  Supervisor supervisor{loop, dir.path(), std::chrono::seconds(10),
                        Supervisor::Hooks{[this](int code) { ended = code; }}};
};

TEST_F(SupervisorTest, AKilledProcessIsStartedAgainAndTheOthersAreLeftAlone) {
  supervisor.add(shell("a", kForever));
  supervisor.add(shell("b", kForever));
  const std::int64_t a = running("a");
  const std::int64_t b = running("b");

  ::kill(static_cast<pid_t>(a), SIGKILL);
  run_until(loop, [&] { return of("a").restarts == 1 && of("a").state == "running"; });

  EXPECT_NE(of("a").pid, a);
  EXPECT_EQ(of("a").last_end, "signal 9 (Killed)");
  EXPECT_EQ(of("b").pid, b);
  EXPECT_EQ(of("b").restarts, 0U);
}

TEST_F(SupervisorTest, ThePidFileHoldsThePidWhileTheProcessRuns) {
  supervisor.add(shell("a", kForever));
  const std::int64_t pid = running("a");

  EXPECT_EQ(read_pid(dir.path(), "a"), pid);
  run(loop, supervisor.stop());
  EXPECT_FALSE(std::filesystem::exists(pid_file(dir.path(), "a")));
}

TEST_F(SupervisorTest, AProcessThatKeepsEndingIsReportedAndTheOthersGoOn) {
  supervisor.add(shell("a", "exit 3"));
  supervisor.add(shell("b", kForever));
  const std::int64_t b = running("b");

  run_until(loop, [&] { return of("a").state == "crash-looping"; });

  EXPECT_EQ(of("a").last_end, "exit code 3");
  EXPECT_EQ(of("b").pid, b);
}

TEST_F(SupervisorTest, AProgramThatIsNotThereIsReportedNotFatal) {
  supervisor.add(ProcessSpec{"a", "/no/such/program", {}, {}});

  run_until(loop, [&] { return of("a").state == "crash-looping"; });

  EXPECT_THAT(of("a").last_end, HasSubstr("cannot start /no/such/program"));
}

TEST_F(SupervisorTest, ARestartEndsTheProcessAndCompletesWhenTheNextRuns) {
  supervisor.add(shell("a", kForever));
  const std::int64_t before = running("a");

  const auto restarted = run(loop, supervisor.restart("a"));

  ASSERT_TRUE(restarted) << restarted.error().message;
  EXPECT_EQ(of("a").state, "running");
  EXPECT_NE(of("a").pid, before);
  EXPECT_EQ(of("a").last_end, "signal 15 (Terminated)");
}

TEST_F(SupervisorTest, ARestartAlsoEndsTheWaitOfACrashLoop) {
  supervisor.add(shell("a", "test -e " + (dir / "heal") + " || exit 1; " + kForever));
  run_until(loop, [&] { return of("a").state == "crash-looping"; });
  ASSERT_TRUE(write_file(dir / "heal", ""));

  const auto restarted = run(loop, supervisor.restart("a"));

  ASSERT_TRUE(restarted);
  EXPECT_EQ(of("a").state, "running");
}

TEST_F(SupervisorTest, RestartingAnUnknownProcessIsNotFound) {
  const auto restarted = run(loop, supervisor.restart("nobody"));

  ASSERT_FALSE(restarted);
  EXPECT_EQ(restarted.error().code, Errc::kNotFound);
}

TEST_F(SupervisorTest, StopEndsTheGatewayFirstAndConfigLast) {
  const std::string log = dir / "order";
  const auto process = [&](const std::string& name) {
    return shell(name, "tail -f /dev/null & trap 'echo " + name + " >> " + log + "; kill $!; exit 0' TERM; echo > " +
                           (dir / name) + "; wait");
  };
  for (const char* name : {"config", "state", "gateway"}) supervisor.add(process(name));
  for (const char* name : {"config", "state", "gateway"}) {
    run_until(loop, [&] { return std::filesystem::exists(dir / name); });
  }

  run(loop, supervisor.stop());

  EXPECT_EQ(*read_file(log), "gateway\nstate\nconfig\n");
}

TEST_F(SupervisorTest, TheMainProcessThatExitsByItselfEndsTheRuntimeWithItsCode) {
  supervisor.add(shell("gateway", "exit 0"), /*ends_the_runtime=*/true);

  run_until(loop, [&] { return ended.has_value(); });

  EXPECT_EQ(ended, 0);
}

TEST_F(SupervisorTest, TheMainProcessThatWasKilledIsStartedAgain) {
  supervisor.add(shell("gateway", kForever), /*ends_the_runtime=*/true);
  const std::int64_t pid = running("gateway");

  ::kill(static_cast<pid_t>(pid), SIGKILL);
  run_until(loop, [&] { return of("gateway").restarts == 1 && of("gateway").state == "running"; });

  EXPECT_FALSE(ended);
}

TEST_F(SupervisorTest, AnotherSupervisorTakesOverWhatAKilledOneLeftRunning) {
  // The folder's name is in the arguments, as it is in those of every real process.
  const ProcessSpec spec{"tail", dir / "caisson-tail", {"-f", "/dev/null", "--pid", "1", "--", dir.path()}, {}};
  std::filesystem::copy_file("/usr/bin/tail", spec.program);
  auto left = Child::start(loop, spec);
  ASSERT_TRUE(left) << left.error().message;
  ASSERT_TRUE(write_file(pid_file(dir.path(), "tail"), std::to_string((*left)->pid())));

  supervisor.add(spec);

  EXPECT_EQ(running("tail"), (*left)->pid());
}

}  // namespace
}  // namespace caisson::cli
