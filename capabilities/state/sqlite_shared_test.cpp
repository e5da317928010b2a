#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/state/make_store.hpp"
#include "capabilities/state/sqlite_store.hpp"
#include "capabilities/state/wall_time.hpp"

namespace caisson::state {
namespace {

/// One file, several processes: two instances of the capability.
class SqliteSharedTest : public ::testing::Test {
 protected:
  SqliteSharedTest() {
    options_.path = directory_.path() / "state.db";
    options_.shared = true;
  }

  Result<std::unique_ptr<SqliteDatabase>> open() const {
    return SqliteDatabase::open(options_, system_wall_clock(), std::make_shared<std::atomic<bool>>(false));
  }
  /// As a component is opened: again where another one looks for damage at the moment.
  Result<std::unique_ptr<SqliteDatabase>> open_when_free() const {
    auto opened = open();
    while (!opened && opened.error().code == Errc::kAlreadyExists) opened = open();
    return opened;
  }
  static Batch batch_of(std::string value, std::string if_match = {}) {
    Batch batch;
    Write& write = batch.writes.emplace_back();
    write.key = "k";
    write.value = std::move(value);
    write.if_match = std::move(if_match);
    return batch;
  }
  static Result<WriteResult> write(SqliteDatabase& database, Batch batch) {
    auto results = database.commit({std::move(batch)});
    if (!results.front()) return results.front().error();
    return results.front()->front();
  }
  static Entry read(SqliteDatabase& database) {
    auto entry = database.read("k");
    if (!entry || !*entry) entry = database.read_between_writes("k");
    return entry && *entry ? **entry : Entry{entry ? "(missing)" : "error: " + entry.error().message, {}, {}};
  }
  /// Runs in a process of its own, which ends well where `work` says true.
  static pid_t start(const std::function<bool()>& work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work() ? 0 : 1);
    return child;
  }
  static bool ended_well(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  const testing::TemporaryDirectory directory_;
  SqliteOptions options_;
};

TEST_F(SqliteSharedTest, ConditionalWritesOfTwoProcessesLoseNoUpdate) {
  constexpr int kEach = 200;
  const auto count_up = [this] {
    auto database = open_when_free();
    int done = 0;
    while (database && done < kEach) {
      const Entry before = read(**database);
      const auto written = write(**database, batch_of(std::to_string(std::stoi(before.value) + 1), before.etag));
      if (!written) return false;
      done += written->code == Errc::kOk ? 1 : 0;
    }
    return done == kEach;
  };
  // Nothing of SQLite's, nor random bytes for etags, may cross a fork.
  ASSERT_TRUE(ended_well(start([this] {
    const auto database = open();
    return database && write(**database, batch_of("0"));
  })));

  const pid_t one = start(count_up);
  const pid_t two = start(count_up);

  EXPECT_TRUE(ended_well(one));
  EXPECT_TRUE(ended_well(two));
  const auto database = open();
  ASSERT_TRUE(database) << database.error().message;
  EXPECT_EQ(read(**database).value, std::to_string(2 * kEach));
}

TEST_F(SqliteSharedTest, OneThatCommitsWithoutAPauseKeepsNobodyWaitingForLong) {
  const pid_t busy = start([this] {
    const auto database = open_when_free();
    while (database && write(**database, batch_of("theirs"))) {
    }
    return false;
  });
  const auto database = open_when_free();
  ASSERT_TRUE(database) << database.error().message;
  while (read(**database).value != "theirs") {
  }

  for (int i = 0; i < 50; ++i) {
    const auto written = write(**database, batch_of("ours"));
    EXPECT_TRUE(written) << written.error().message;
  }

  ::kill(busy, SIGKILL);
  ended_well(busy);
  EXPECT_TRUE(write(**database, batch_of("last")));  // what it held ended with it
  EXPECT_EQ(read(**database).value, "last");
}

TEST_F(SqliteSharedTest, WhatAnotherHasCommittedIsReadAtOnce) {
  const auto one = open();
  const auto two = open();
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(write(**one, batch_of("old")));
  EXPECT_EQ(read(**two).value, "old");  // begins a snapshot

  ASSERT_TRUE(write(**one, batch_of("new")));

  EXPECT_EQ(read(**two).value, "new");
}

TEST_F(SqliteSharedTest, ARequestThatAnotherExecutedIsAnsweredFromItsLedger) {
  const auto one = open();
  const auto two = open();
  ASSERT_TRUE(one && two);
  const auto with_id = [](std::uint64_t generation, std::string value) {
    Batch batch = batch_of(std::move(value));
    batch.request.incarnation = 7;
    batch.request.slot = 1;
    batch.request.generation = generation;
    return batch;
  };
  ASSERT_TRUE(write(**two, with_id(1, "first")));
  const auto executed = write(**one, with_id(2, "second"));
  ASSERT_TRUE(write(**one, batch_of("later")));

  const auto again = write(**two, with_id(2, "second"));

  ASSERT_TRUE(executed && again);
  EXPECT_EQ(again->text, executed->text);
  EXPECT_EQ(read(**two).value, "later");
  EXPECT_FALSE(write(**two, with_id(1, "first")));
}

TEST_F(SqliteSharedTest, OneThatDoesNotShareIsKeptOutAndKeepsOthersOut) {
  auto shared = open();
  ASSERT_TRUE(shared);
  options_.shared = false;
  EXPECT_EQ(open().error().code, Errc::kAlreadyExists);
  shared->reset();

  const auto alone = open();
  ASSERT_TRUE(alone);
  options_.shared = true;

  EXPECT_EQ(open().error().code, Errc::kAlreadyExists);
}

TEST_F(SqliteSharedTest, TheFirstToComeMovesADamagedFileAsideAndLetsTheOthersIn) {
  std::ofstream(options_.path) << std::string(8192, 'x');

  const auto one = open();
  const auto two = open();

  ASSERT_TRUE(one && two);
  EXPECT_THAT((*one)->note(), ::testing::HasSubstr("was damaged"));
  EXPECT_EQ((*two)->note(), "");
  ASSERT_TRUE(write(**one, batch_of("v")));
  EXPECT_EQ(read(**two).value, "v");
}

TEST(StateTypes, OnlyWhatLivesInOneProcessIsOneInstances) {
  const auto is_one_instances = [](const std::string& type, const std::string& connection) {
    config::Component component;
    component.name = "c";
    component.type = type;
    component.metadata.push_back({"ConnectionString", connection, {}, {}, {}});
    return is_exclusive(component);
  };

  EXPECT_TRUE(is_one_instances("state.in-memory", ""));
  EXPECT_TRUE(is_one_instances("state.sqlite", ":memory:"));
  EXPECT_TRUE(is_one_instances("state.sqlite3", "file:x.db?mode=memory"));
  EXPECT_FALSE(is_one_instances("state.sqlite", "file:x.db"));
  EXPECT_FALSE(is_one_instances("state.sqlite", ""));
  EXPECT_FALSE(is_one_instances("state.redis", ":memory:"));
  EXPECT_FALSE(is_one_instances("state.unknown", ""));
}

}  // namespace
}  // namespace caisson::state
