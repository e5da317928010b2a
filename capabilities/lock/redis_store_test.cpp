#include "capabilities/lock/redis_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/run.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::lock {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using ::testing::AllOf;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Le;

/// The release script of components-contrib's lock/redis, as a daprd on the same server would run it.
constexpr const char* kDaprsUnlock =
    "local v = redis.call('get',KEYS[1]); if v==false then return -1 end; if v~=ARGV[1] then return -2 end; "
    "return redis.call('del',KEYS[1])";

class RedisStoreTest : public ::testing::Test {
 protected:
  static RedisServer& server() {
    static RedisServer server;
    return server;
  }
  RedisStoreTest() { server().command({"FLUSHALL"}); }

  Result<std::unique_ptr<Store>> open(redis::Settings settings) {
    auto task = RedisStore::open(
        loop_, std::move(settings), [] {}, loop_.deadline_in(20s));
    return testing::run(loop_, std::move(task));
  }
  std::unique_ptr<Store> open_well() {
    auto opened = open(server().settings());
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : nullptr;
  }
  Result<Outcome> execute(Store& store, Action action, const std::string& owner, RequestId request = {}) {
    Operation operation{request, action, "lock||shop||order", owner, action == Action::kTake ? 60 : 0};
    return testing::run(loop_, store.execute(std::move(operation), loop_.deadline_in(20s)));
  }
  Outcome outcome(Store& store, Action action, const std::string& owner, RequestId request = {}) {
    const auto outcome = execute(store, action, owner, request);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? *outcome : Outcome{};
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(RedisStoreTest, ALockLiesAsDaprLaysIt) {
  const auto store = open_well();

  outcome(*store, Action::kTake, "a");

  EXPECT_EQ(server().command({"GET", "lock||shop||order"}).text, "a");
  EXPECT_THAT(server().command({"TTL", "lock||shop||order"}).integer, AllOf(Gt(0), Le(60)));
}

TEST_F(RedisStoreTest, ALockOfDaprIsRespectedAndTheReverse) {
  const auto store = open_well();
  server().command({"SET", "lock||shop||order", "daprs", "NX", "EX", "60"});
  EXPECT_EQ(outcome(*store, Action::kTake, "a"), Outcome::kHeld);
  EXPECT_EQ(outcome(*store, Action::kRelease, "a"), Outcome::kBelongsToOthers);
  EXPECT_EQ(outcome(*store, Action::kRelease, "daprs"), Outcome::kReleased);

  outcome(*store, Action::kTake, "a");

  EXPECT_TRUE(server().command({"SET", "lock||shop||order", "daprs", "NX", "EX", "60"}).is_nil());
  EXPECT_EQ(server().command({"EVAL", kDaprsUnlock, "1", "lock||shop||order", "daprs"}).integer, -2);
  EXPECT_EQ(server().command({"EVAL", kDaprsUnlock, "1", "lock||shop||order", "a"}).integer, 1);
}

TEST_F(RedisStoreTest, TheLedgerEndsADayLater) {
  const auto store = open_well();

  outcome(*store, Action::kTake, "a", {7, 1, 0});

  EXPECT_EQ(server().command({"HGET", "caisson:ledger:lock:0000000000000007", "0"}).text, "00000000000000000001 0");
  EXPECT_THAT(server().command({"TTL", "caisson:ledger:lock:0000000000000007"}).integer, AllOf(Gt(86'000), Le(86'400)));
}

TEST_F(RedisStoreTest, AServerThatForgotTheScriptIsToldAgain) {
  const auto store = open_well();
  server().command({"SCRIPT", "FLUSH"});

  EXPECT_EQ(outcome(*store, Action::kTake, "a"), Outcome::kTaken);
  EXPECT_EQ(outcome(*store, Action::kTake, "b"), Outcome::kHeld);
}

TEST_F(RedisStoreTest, AKeyThatIsNoLockIsNotTouched) {
  const auto store = open_well();
  server().command({"HSET", "lock||shop||order", "a", "1"});

  EXPECT_EQ(outcome(*store, Action::kTake, "a"), Outcome::kHeld);
  const auto released = execute(*store, Action::kRelease, "a", {7, 1, 0});

  ASSERT_FALSE(released);
  EXPECT_THAT(released.error().message, HasSubstr("WRONGTYPE"));
  EXPECT_EQ(server().command({"HGET", "lock||shop||order", "a"}).text, "1");
  EXPECT_EQ(server().command({"EXISTS", "caisson:ledger:lock:0000000000000007"}).integer, 0);
}

TEST_F(RedisStoreTest, AServerThatIsFullTakesNothingAndSaysSo) {
  const auto store = open_well();
  server().command({"CONFIG", "SET", "maxmemory", "1"});

  const auto taken = execute(*store, Action::kTake, "a", {7, 1, 0});

  server().command({"CONFIG", "SET", "maxmemory", "0"});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kResourceExhausted);
  EXPECT_EQ(server().command({"DBSIZE"}).integer, 0);
}

TEST_F(RedisStoreTest, AReplyThatWasLostIsAskedForAgainAndNotTakenForSomebodyElses) {
  redis::testing::Proxy proxy(server().port());
  redis::Settings settings = server().settings();
  settings.addresses = {{"127.0.0.1", proxy.port()}};
  auto opened = open(std::move(settings));
  ASSERT_TRUE(opened) << opened.error().message;
  proxy.swallow_replies();
  Operation operation{{7, 1, 0}, Action::kTake, "lock||shop||order", "a", 60};
  std::optional<Result<Outcome>> answer;
  struct Later {
    static Task<void> take(Store& store, Operation operation, std::optional<Result<Outcome>>& answer) {
      auto task = store.execute(std::move(operation), Deadline::never());
      auto outcome = co_await std::move(task);
      answer.emplace(std::move(outcome));
    }
  };
  TaskScope scope(loop_);
  scope.spawn(Later::take(**opened, std::move(operation), answer));
  testing::run_until(loop_, [&] { return server().command({"EXISTS", "lock||shop||order"}).integer == 1; });

  proxy.forward();
  proxy.cut();
  testing::run_until(loop_, [&] { return answer.has_value(); });

  ASSERT_TRUE(*answer) << answer->error().message;
  EXPECT_EQ(**answer, Outcome::kTaken);
}

TEST_F(RedisStoreTest, AServerWithReplicasIsRefusedUnlessSentinelWatchesIt) {
  RedisServer master;
  RedisServer replica({.replica_of = master.port()});
  testing::run_until(loop_, [&] {
    return master.command({"INFO", "replication"}).text.find("connected_slaves:1") != std::string::npos;
  });

  const auto refused = open(master.settings());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("replicas"));

  RedisServer sentinel({.sentinel_of = master.port()});
  redis::Settings settings = sentinel.settings();
  settings.sentinel_master = "mymaster";
  const auto opened = open(std::move(settings));
  EXPECT_TRUE(opened) << opened.error().message;
}

}  // namespace
}  // namespace caisson::lock
