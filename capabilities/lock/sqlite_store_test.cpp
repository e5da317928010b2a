#include "capabilities/lock/sqlite_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"

namespace caisson::lock {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class SqliteStoreTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<Store>> open() {
    auto task = SqliteStore::open(
        loop_, path_, [this] { return now_; }, [this] { ++changes_; }, loop_.deadline_in(20s));
    return testing::run(loop_, std::move(task));
  }
  std::unique_ptr<Store> open_well() {
    auto opened = open();
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : nullptr;
  }
  Result<Outcome> take(Store& store, const std::string& key, std::int64_t seconds = 60, RequestId request = {}) {
    Operation operation{request, Action::kTake, key, "a", seconds};
    return testing::run(loop_, store.execute(std::move(operation), loop_.deadline_in(20s)));
  }
  /// The first number that a statement gives, by a connection of the test's own.
  std::int64_t ask(const std::string& sql) {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 10'000);
    std::int64_t number = -1;
    const auto read = [](void* to, int, char** values, char**) {
      *static_cast<std::int64_t*>(to) = std::stoll(values[0]);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), read, &number, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
    sqlite3_close(handle);
    return number;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "locks.db").string();
  std::chrono::system_clock::time_point now_ = std::chrono::system_clock::now();
  int changes_ = 0;
  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(SqliteStoreTest, OneProcessAtATime) {
  const auto store = open_well();

  const auto second = open();

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kAlreadyExists);
}

TEST_F(SqliteStoreTest, ADamagedFileIsMovedAsideAndSaid) {
  std::ofstream(path_) << std::string(8192, 'x');

  const auto store = open_well();

  EXPECT_THAT(store->note(), HasSubstr("all locks are forgotten"));
  EXPECT_TRUE(take(*store, "order"));
}

TEST_F(SqliteStoreTest, AFolderThatIsNotThereIsNamed) {
  path_ = "/nowhere/locks.db";

  const auto opened = open();

  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("/nowhere/locks.db"));
}

TEST_F(SqliteStoreTest, WhatIsOverDoesNotPileUp) {
  const auto store = open_well();
  for (std::uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(take(*store, std::to_string(i), 1, {7, 1, i}));
  EXPECT_EQ(ask("SELECT count(*) FROM locks"), 20);
  EXPECT_EQ(ask("SELECT count(*) FROM ledger"), 20);

  now_ += 25h;
  ASSERT_TRUE(take(*store, "order", 60, {8, 1, 0}));

  EXPECT_EQ(ask("SELECT count(*) FROM locks"), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM ledger"), 1);
}

TEST_F(SqliteStoreTest, AFileThatCannotBeWrittenIsDownUntilItCan) {
  const auto store = open_well();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);

  const auto refused = take(*store, "order");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  EXPECT_TRUE(store->down_reason());
  EXPECT_EQ(changes_, 1);
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  testing::run_until(loop_, [&] { return !store->down_reason(); });
  EXPECT_EQ(changes_, 2);
  const auto taken = take(*store, "order");
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, Outcome::kTaken) << "the refused one took nothing";
}

TEST_F(SqliteStoreTest, WhoGaveUpBeforeItsTransactionTakesNothing) {
  const auto store = open_well();
  {
    TaskScope scope(loop_);
    struct Abandoned {
      static Task<void> take(Store& store) {
        Operation operation{{}, Action::kTake, "order", "gone", 60};
        auto task = store.execute(std::move(operation), Deadline::never());
        [[maybe_unused]] const auto outcome = co_await std::move(task);
      }
    };
    scope.spawn(Abandoned::take(*store));
  }

  const auto taken = take(*store, "order");

  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, Outcome::kTaken);
}

TEST_F(SqliteStoreTest, ALedgerThatHoldsNonsenseIsAnError) {
  const auto store = open_well();
  ASSERT_TRUE(take(*store, "order", 60, {7, 1, 0}));
  ask("UPDATE ledger SET outcome = 77; SELECT 1");

  const auto again = take(*store, "order", 60, {7, 1, 0});

  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kDataLoss);
}

}  // namespace
}  // namespace caisson::lock
