#include "capabilities/pubsub/sqlite_broker.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <set>

#include "capabilities/pubsub/testing/broker_fixture.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::FakeClock;
using caisson::testing::run;
using caisson::testing::run_until;
using testing::Subscriber;
using namespace std::chrono_literals;

/// What only the embedded broker promises: restarts, crashes, bounds, damage.
class SqliteBrokerTest : public ::testing::Test {
 protected:
  SqliteBrokerTest() : loop_(clock_) {
    options_.component = "pubsub";
    options_.path = directory_.path() + "/pubsub.db";
  }

  Result<std::shared_ptr<SqliteBroker>> try_open() {
    const WallClock wall = [this] { return wall_; };
    return run(loop_, SqliteBroker::open(loop_, options_, wall, Deadline::never()));
  }
  void open() {
    auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().message;
    broker_ = *opened;
  }
  void reopen() {
    broker_.reset();
    open();
  }

  Result<void> publish(const std::string& topic, std::string data) {
    return run(loop_, broker_->publish(topic, Message{std::move(data), {}}, Deadline::never()));
  }
  /// Many at once, as from many requests.
  void publish_all(const std::string& topic, int count) {
    TaskScope scope(loop_);
    for (int i = 0; i < count; ++i) {
      scope.spawn(publish_one(*broker_, topic, std::to_string(i)));
      if (scope.size() > 1000) run_until(loop_, [&] { return scope.empty(); });
    }
    run_until(loop_, [&] { return scope.empty(); });
  }
  static Task<void> publish_one(SqliteBroker& broker, std::string topic, std::string data) {
    Message message{std::move(data), {}};
    const auto published = co_await broker.publish(std::move(topic), std::move(message), Deadline::never());
    EXPECT_TRUE(published);
  }

  void subscribe(Subscriber& subscriber, const std::string& topic, const std::string& group) {
    auto subscription = run(
        loop_, broker_->subscribe(SubscribeOptions{topic, group, {}}, subscriber.handler(loop_), Deadline::never()));
    ASSERT_TRUE(subscription);
    subscriber.subscription = *std::move(subscription);
  }
  void wait_for(const Subscriber& subscriber, std::size_t count) {
    run_until(
        loop_, [&] { return subscriber.received.size() >= count; }, 120s);
  }
  void drain(Subscriber& subscriber) {
    run(loop_, subscriber.subscription->drain(Deadline::never()));
    subscriber.subscription.reset();
  }
  /// Rows of `messages` as another reader of the file sees them.
  std::int64_t stored() {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open_v2(options_.path.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(handle, "SELECT COUNT(*) FROM messages", -1, &statement, nullptr);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const std::int64_t rows = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return rows;
  }

  FakeClock clock_;
  EventLoop loop_;
  std::chrono::system_clock::time_point wall_ = std::chrono::sys_days(std::chrono::year(2026) / 8 / 21);
  testing::TemporaryDirectory directory_;
  SqliteBroker::Options options_;
  std::shared_ptr<SqliteBroker> broker_;
};

TEST_F(SqliteBrokerTest, AGroupGoesOnWhereItWasAfterARestart) {
  open();
  Subscriber before;
  subscribe(before, "orders", "shop");
  ASSERT_TRUE(publish("orders", "1"));
  wait_for(before, 1);
  drain(before);
  ASSERT_TRUE(publish("orders", "2"));

  reopen();

  Subscriber after;
  subscribe(after, "orders", "shop");
  wait_for(after, 1);
  EXPECT_EQ(after.received, std::vector<std::string>{"2"});
  after.subscription.reset();
}

TEST_F(SqliteBrokerTest, WhatWasInHandAtARestartComesAgainAtOnceWithItsAttemptsCounted) {
  options_.concurrency = 2;
  open();
  Subscriber before;
  before.script["bad"] = {Verdict::kRetry};
  subscribe(before, "orders", "shop");
  ASSERT_TRUE(publish("orders", "bad"));
  wait_for(before, 1);
  drain(before);

  reopen();

  Subscriber after;
  subscribe(after, "orders", "shop");
  wait_for(after, 1);
  EXPECT_EQ(after.received, std::vector<std::string>{"bad"});
  EXPECT_EQ(after.attempts, std::vector<std::uint32_t>{2});
  after.subscription.reset();
}

TEST_F(SqliteBrokerTest, OnlyWhatIsNotAcknowledgedComesAgainAfterAnAbruptEnd) {
  options_.concurrency = 4;
  open();
  Subscriber before;
  before.script["1"] = {Verdict::kRetry};  // left pending below what is acknowledged
  subscribe(before, "orders", "shop");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));
  wait_for(before, 50);
  drain(before);

  reopen();

  Subscriber after;
  subscribe(after, "orders", "shop");
  ASSERT_TRUE(publish("orders", "new"));
  wait_for(after, 2);
  EXPECT_EQ(std::set<std::string>(after.received.begin(), after.received.end()), (std::set<std::string>{"1", "new"}));
  after.subscription.reset();
}

TEST_F(SqliteBrokerTest, WhatAHandlerHeldAtAnAbruptEndIsNotLostBehindWhatWasAcknowledgedLater) {
  open();
  Subscriber before;
  before.hold_one = "3";
  subscribe(before, "orders", "shop");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));
  wait_for(before, 50);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(publish("other", ""));  // the verdicts are on disk with these

  before.subscription.reset();  // what it gives back here never reaches the disk
  reopen();

  Subscriber after;
  subscribe(after, "orders", "shop");
  ASSERT_TRUE(publish("orders", "new"));
  wait_for(after, 2);
  EXPECT_EQ(after.received, (std::vector<std::string>{"3", "new"}));
  after.subscription.reset();
}

TEST_F(SqliteBrokerTest, WhatEveryGroupHasAcknowledgedIsDeleted) {
  open();
  Subscriber shop;
  Subscriber audit;
  shop.script["7"] = {Verdict::kRetry};
  audit.hold = true;
  subscribe(shop, "orders", "shop");
  subscribe(audit, "orders", "audit");
  publish_all("orders", 60);
  wait_for(shop, 60);
  drain(shop);
  EXPECT_EQ(stored(), 60);

  audit.release();
  wait_for(audit, 60);
  drain(audit);
  EXPECT_EQ(stored(), 1);

  subscribe(shop, "orders", "shop");
  clock_.advance(15s);
  wait_for(shop, 61);
  drain(shop);
  EXPECT_EQ(stored(), 0);
}

TEST_F(SqliteBrokerTest, AFullTopicRefusesPublishesRatherThanLoseWhatAGroupNeeds) {
  options_.limits.max_length = 3;
  open();
  Subscriber shop;
  shop.hold = true;
  subscribe(shop, "orders", "shop");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  const auto refused = publish("orders", "3");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("'shop'"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(publish("returns", "elsewhere there is room"));
  shop.release();
  wait_for(shop, 3);
  drain(shop);
  EXPECT_TRUE(publish("orders", "4"));
}

TEST_F(SqliteBrokerTest, AFullTopicThatNobodySubscribesToLosesItsOldest) {
  options_.limits.max_length = 3;
  open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  Subscriber late;
  subscribe(late, "orders", "late");

  wait_for(late, 3);
  EXPECT_EQ(late.received, (std::vector<std::string>{"7", "8", "9"}));
  drain(late);
}

TEST_F(SqliteBrokerTest, MessagesOlderThanTheRetentionAreDeleted) {
  options_.limits.retention = 10min;
  open();
  ASSERT_TRUE(publish("orders", "old"));
  wall_ += 6min;
  ASSERT_TRUE(publish("orders", "young"));
  wall_ += 6min;
  ASSERT_TRUE(publish("other", "makes it look"));

  Subscriber late;
  subscribe(late, "orders", "late");

  wait_for(late, 1);
  EXPECT_EQ(late.received, std::vector<std::string>{"young"});
  drain(late);
}

TEST_F(SqliteBrokerTest, ABacklogOfTenThousandIsDelivered) {
  open();
  publish_all("orders", 10'000);
  Subscriber subscriber;

  subscribe(subscriber, "orders", "shop");

  wait_for(subscriber, 10'000);
  EXPECT_EQ(std::set<std::string>(subscriber.received.begin(), subscriber.received.end()).size(), 10'000U);
  drain(subscriber);
  EXPECT_EQ(subscriber.received.size(), 10'000U);
  EXPECT_EQ(stored(), 0);
}

TEST_F(SqliteBrokerTest, TheFileBelongsToOneProcess) {
  open();

  const auto second = try_open();

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kAlreadyExists);
  EXPECT_NE(second.error().message.find(options_.path), std::string::npos);
  broker_.reset();
  EXPECT_TRUE(try_open());
}

TEST_F(SqliteBrokerTest, ADamagedFileIsMovedAsideAndKept) {
  std::ofstream(options_.path) << "this is no database, but somebody may want it back";

  open();

  EXPECT_TRUE(publish("orders", "1"));
  std::string kept;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    if (entry.path().string().find(".damaged-") == std::string::npos) continue;
    std::ifstream file(entry.path());
    std::getline(file, kept);
  }
  EXPECT_NE(broker_->note().find("was damaged"), std::string::npos);
  EXPECT_EQ(kept, "this is no database, but somebody may want it back");
}

TEST_F(SqliteBrokerTest, ADatabaseWithBrokenPagesIsMovedAside) {
  open();
  publish_all("orders", 200);
  broker_.reset();
  {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(8192, '\x5A');
  }

  open();

  EXPECT_TRUE(publish("orders", "1"));
  EXPECT_EQ(stored(), 1);
}

TEST_F(SqliteBrokerTest, APathThatCannotBeOpenedIsNamed) {
  options_.path = directory_.path() + "/missing/pubsub.db";

  const auto opened = try_open();

  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("missing"), std::string::npos);
}

/// Lets no file grow over a size while it lives, as a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = SIG_DFL;
};

TEST_F(SqliteBrokerTest, WithoutSpacePublishesFailAndNothingAcknowledgedIsLost) {
  open();
  Subscriber subscriber;
  subscriber.hold = true;
  subscribe(subscriber, "orders", "shop");
  std::set<std::string> acknowledged;
  {
    const FileSizeLimit limit(512 * 1024);
    for (int i = 0; i < 64; ++i) {
      const std::string data = std::to_string(i) + ":" + std::string(32 * 1024, 'x');
      if (publish("orders", data)) acknowledged.insert(data);
    }
    EXPECT_LT(acknowledged.size(), 64U);
    EXPECT_GT(acknowledged.size(), 0U);
    EXPECT_TRUE(broker_->down_reason());
  }

  clock_.advance(2s);
  EXPECT_TRUE(publish("orders", "after"));
  acknowledged.insert("after");
  subscriber.release();
  wait_for(subscriber, acknowledged.size());
  drain(subscriber);
  EXPECT_EQ(std::set<std::string>(subscriber.received.begin(), subscriber.received.end()), acknowledged);
  EXPECT_FALSE(broker_->down_reason());
}

/// Publishes from many tasks and writes the number of each acknowledged message to `fd`, until it
/// is killed.
[[noreturn]] void publish_until_killed(const SqliteBroker::Options& options, int fd) {
  SystemClock clock;
  EventLoop loop(clock);
  auto broker = run(loop, SqliteBroker::open(loop, options, std::chrono::system_clock::now, Deadline::never()));
  if (!broker) ::_exit(1);
  struct Publisher {
    static Task<void> run_from(SqliteBroker& to, int first, int pipe) {
      for (int number = first;; number += 8) {
        Message message{std::to_string(number), {}};
        const auto published = co_await to.publish("orders", std::move(message), Deadline::never());
        if (published && ::write(pipe, &number, sizeof number) != sizeof number) ::_exit(1);
      }
    }
  };
  TaskScope scope(loop);
  for (int i = 0; i < 8; ++i) scope.spawn(Publisher::run_from(**broker, i, fd));
  loop.run();
  ::_exit(1);
}

TEST_F(SqliteBrokerTest, NoAcknowledgedPublishIsLostWhenTheProcessIsKilled) {
  for (int round = 0; round < 3; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) publish_until_killed(options_, ends[1]);
    ::close(ends[1]);
    std::set<std::string> acknowledged;
    int number = 0;
    while (::read(ends[0], &number, sizeof number) == sizeof number) {
      acknowledged.insert(std::to_string(number));
      if (acknowledged.size() == 150) ::kill(child, SIGKILL);
    }
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    ASSERT_GE(acknowledged.size(), 150U);

    open();
    Subscriber subscriber;
    subscribe(subscriber, "orders", "round-" + std::to_string(round));
    run_until(loop_, [&] {
      const std::set<std::string> received(subscriber.received.begin(), subscriber.received.end());
      return std::ranges::includes(received, acknowledged);
    });
    drain(subscriber);
    broker_.reset();
  }
}

}  // namespace
}  // namespace caisson::pubsub
