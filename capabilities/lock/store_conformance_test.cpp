#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/lock/redis_store.hpp"
#include "capabilities/lock/sqlite_store.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::lock {
namespace {

using namespace std::chrono_literals;

/// What a test may use to make a store.
struct Place {
  EventLoop& loop;
  std::string directory;
  WallClock now;
};

struct Backend {
  std::string name;
  Result<std::unique_ptr<Store>> (*open)(const Place& place);
  /// Before the first opening in a test.
  void (*begin)() = [] {};
  /// Called when the test's clock is advanced: for a store that has a clock of its own.
  void (*let_time_pass)(std::chrono::seconds span) = [](std::chrono::seconds) {};
};

Result<std::unique_ptr<Store>> open_sqlite(const Place& place) {
  auto task = SqliteStore::open(
      place.loop, place.directory + "/locks.db", place.now, [] {}, place.loop.deadline_in(20s));
  return testing::run(place.loop, std::move(task));
}

redis::testing::RedisServer& redis_server() {
  static redis::testing::RedisServer server({.append_only = true});
  return server;
}

Result<std::unique_ptr<Store>> open_redis(const Place& place) {
  auto task = RedisStore::open(
      place.loop, redis_server().settings(), [] {}, place.loop.deadline_in(20s));
  return testing::run(place.loop, std::move(task));
}

void empty_redis() { redis_server().command({"FLUSHALL"}); }

/// Redis has its own clock: what is left of each lock's time is shortened instead.
void let_time_pass_in_redis(std::chrono::seconds span) {
  for (const auto& key : redis_server().command({"KEYS", "*"}).items) {
    const std::int64_t left = redis_server().command({"PTTL", key.text}).integer;
    if (left >= 0) redis_server().command({"PEXPIRE", key.text, std::to_string(left - span.count() * 1000)});
  }
}

/// What every backend owes its callers; each backend is one instantiation below.
class StoreConformanceTest : public ::testing::TestWithParam<Backend> {
 protected:
  StoreConformanceTest() {
    GetParam().begin();
    reopen();
  }

  void reopen() {
    store_.reset();
    auto opened = GetParam().open({loop_, directory_.path().string(), [this] { return now_; }});
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = *std::move(opened);
  }
  void advance(std::chrono::seconds span) {
    now_ += span;
    GetParam().let_time_pass(span);
  }

  Result<Outcome> execute(Operation operation) {
    return testing::run(loop_, store_->execute(std::move(operation), loop_.deadline_in(20s)));
  }
  Outcome outcome_of(Operation operation) {
    const auto outcome = execute(std::move(operation));
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? *outcome : Outcome{};
  }
  static Operation taking(std::string key, std::string owner, std::int64_t seconds = 60, RequestId request = {}) {
    return {request, Action::kTake, std::move(key), std::move(owner), seconds};
  }
  static Operation releasing(std::string key, std::string owner, RequestId request = {}) {
    return {request, Action::kRelease, std::move(key), std::move(owner), 0};
  }
  Outcome take(std::string key, std::string owner, std::int64_t seconds = 60, RequestId request = {}) {
    return outcome_of(taking(std::move(key), std::move(owner), seconds, request));
  }
  Outcome release(std::string key, std::string owner, RequestId request = {}) {
    return outcome_of(releasing(std::move(key), std::move(owner), request));
  }

  testing::TemporaryDirectory directory_;
  std::chrono::system_clock::time_point now_ = std::chrono::system_clock::now();
  SystemClock clock_;
  EventLoop loop_{clock_};
  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformanceTest, AFreeLockIsTakenByTheFirst) {
  EXPECT_EQ(take("order", "a"), Outcome::kTaken);

  EXPECT_EQ(take("order", "b"), Outcome::kHeld);
  EXPECT_EQ(take("order", "a"), Outcome::kHeld);
  EXPECT_EQ(take("other", "b"), Outcome::kTaken);
}

TEST_P(StoreConformanceTest, OnlyItsOwnerReleasesIt) {
  take("order", "a");

  EXPECT_EQ(release("order", "b"), Outcome::kBelongsToOthers);
  EXPECT_EQ(take("order", "b"), Outcome::kHeld);
  EXPECT_EQ(release("order", "a"), Outcome::kReleased);
  EXPECT_EQ(release("order", "a"), Outcome::kDoesNotExist);
  EXPECT_EQ(take("order", "b"), Outcome::kTaken);
}

TEST_P(StoreConformanceTest, ALockThatNobodyTookDoesNotExist) {
  EXPECT_EQ(release("order", "a"), Outcome::kDoesNotExist);
}

TEST_P(StoreConformanceTest, ALockEndsWhenItsTimeIsOverAndNotBefore) {
  take("order", "a", 60);
  advance(50s);
  EXPECT_EQ(take("order", "b"), Outcome::kHeld) << "a refused take does not shorten it";
  EXPECT_EQ(release("order", "b"), Outcome::kBelongsToOthers);
  advance(10s);

  EXPECT_EQ(release("order", "a"), Outcome::kDoesNotExist);
  EXPECT_EQ(take("order", "b", 60), Outcome::kTaken);
  advance(50s);
  EXPECT_EQ(take("order", "a"), Outcome::kHeld) << "the new one has its own time";
}

TEST_P(StoreConformanceTest, TheLongestExpiryAndOddNamesAreKept) {
  const std::string name = std::string("k\0\xff ' \n", 7);
  EXPECT_EQ(take(name, name, INT32_MAX), Outcome::kTaken);
  advance(std::chrono::hours(24 * 365 * 60));

  EXPECT_EQ(take(name, "b"), Outcome::kHeld);
  EXPECT_EQ(release(name, std::string("k")), Outcome::kBelongsToOthers);
  EXPECT_EQ(release(name, name), Outcome::kReleased);
}

TEST_P(StoreConformanceTest, LocksOutliveTheProcessAndEndOnTime) {
  take("order", "a", 60);

  reopen();

  EXPECT_EQ(take("order", "b"), Outcome::kHeld);
  EXPECT_EQ(release("order", "b"), Outcome::kBelongsToOthers);
  advance(60s);
  reopen();
  EXPECT_EQ(take("order", "b"), Outcome::kTaken);
}

TEST_P(StoreConformanceTest, OfManyAtOnceOneTakesIt) {
  constexpr int kMany = 64;
  int taken = 0;
  int done = 0;
  struct Contender {
    static Task<void> run(Store& store, Operation operation, Deadline deadline, int& taken, int& done) {
      auto task = store.execute(std::move(operation), deadline);
      const auto outcome = co_await std::move(task);
      if (outcome && *outcome == Outcome::kTaken) ++taken;
      ++done;
    }
  };
  TaskScope scope(loop_);
  for (int i = 0; i < kMany; ++i) {
    scope.spawn(Contender::run(*store_, taking("order", std::to_string(i)), loop_.deadline_in(20s), taken, done));
  }
  testing::run_until(loop_, [&] { return done == kMany; });

  EXPECT_EQ(taken, 1);
}

// --- the ledger ---

TEST_P(StoreConformanceTest, WhoTookALockIsToldSoAgain) {
  const RequestId request{7, 40, 3};
  EXPECT_EQ(take("order", "a", 60, request), Outcome::kTaken);

  reopen();

  EXPECT_EQ(take("order", "a", 60, request), Outcome::kTaken);
  EXPECT_EQ(take("order", "a"), Outcome::kHeld) << "another request of the same owner";
}

TEST_P(StoreConformanceTest, WhoReleasedALockIsToldSoAgainAndNobodyElsesIsReleased) {
  take("order", "a");
  const RequestId request{7, 40, 3};
  EXPECT_EQ(release("order", "a", request), Outcome::kReleased);
  take("order", "a");

  EXPECT_EQ(release("order", "a", request), Outcome::kReleased);

  EXPECT_EQ(take("order", "b"), Outcome::kHeld);
}

TEST_P(StoreConformanceTest, RefusalsAreRememberedToo) {
  take("order", "a");
  EXPECT_EQ(take("order", "b", 60, {7, 40, 3}), Outcome::kHeld);
  EXPECT_EQ(release("order", "b", {7, 40, 4}), Outcome::kBelongsToOthers);
  EXPECT_EQ(release("none", "b", {7, 40, 5}), Outcome::kDoesNotExist);
  release("order", "a");
  take("none", "b");

  EXPECT_EQ(take("order", "b", 60, {7, 40, 3}), Outcome::kHeld);
  EXPECT_EQ(release("order", "b", {7, 40, 4}), Outcome::kBelongsToOthers);
  EXPECT_EQ(release("none", "b", {7, 40, 5}), Outcome::kDoesNotExist);
}

TEST_P(StoreConformanceTest, ALateRequestOfAReusedSlotIsRefused) {
  for (const RequestId newer : {RequestId{7, 41, 3}, RequestId{~0ULL, 1ULL << 63, ~0U}}) {
    take("other", "a", 60, newer);
    RequestId older = newer;
    older.generation -= 1;

    const auto late = execute(taking("order", "a", 60, older));

    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::kFailedPrecondition);
  }
  EXPECT_EQ(release("order", "a"), Outcome::kDoesNotExist);
}

TEST_P(StoreConformanceTest, SlotsAndGatewaysHaveLedgersOfTheirOwn) {
  take("one", "a", 60, {7, 40, 3});

  EXPECT_EQ(take("two", "a", 60, {7, 1, 4}), Outcome::kTaken);
  EXPECT_EQ(take("three", "a", 60, {8, 1, 3}), Outcome::kTaken);
  EXPECT_EQ(take("four", "a", 60, {7, ~0ULL, 3}), Outcome::kTaken);
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreConformanceTest,
                         ::testing::Values(Backend{"sqlite", open_sqlite},
                                           Backend{"redis", open_redis, empty_redis, let_time_pass_in_redis}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::lock
