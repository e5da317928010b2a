#include "capabilities/pubsub/redis_broker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "capabilities/pubsub/testing/redis_fixture.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using redis::Reply;
using ::testing::HasSubstr;
using testing::RedisPeer;
using testing::Subscriber;
using namespace std::chrono_literals;

/// What only Redis can do to a broker: restarts, emptied servers, silence, other consumers.
class RedisBrokerTest : public ::testing::Test {
 protected:
  RedisBrokerTest() {
    options_.component = "pubsub";
    options_.server = server_.settings();
    options_.server.read_timeout = 300ms;
    options_.redeliver_interval = 100ms;
    options_.longest_lease = 600ms;
    options_.concurrency = 4;
    admin_ = std::make_unique<redis::Client>(us_.loop, server_.settings(), redis::Client::Hooks{});
  }

  /// What anybody with a redis-cli could say.
  Reply say(std::initializer_list<std::string_view> words) {
    auto reply = run(us_.loop, admin_->ask(redis::Command(words), Deadline::never()));
    EXPECT_TRUE(reply) << reply.error().message;
    return reply ? *reply : Reply{};
  }
  std::vector<PendingEntry> pending(const std::string& topic, const std::string& group = "shop") {
    auto page = read_pending_reply(say({"XPENDING", topic, group, "-", "+", "1000"}));
    EXPECT_TRUE(page);
    return page ? *page : std::vector<PendingEntry>();
  }
  std::vector<std::string> consumers(const std::string& topic, const std::string& group = "shop") {
    std::vector<std::string> names;
    for (const Reply& consumer : say({"XINFO", "CONSUMERS", topic, group}).items) {
      names.push_back(consumer.items.at(1).text);
    }
    return names;
  }
  std::size_t connections() {
    const std::string list = say({"CLIENT", "LIST"}).text;
    return static_cast<std::size_t>(std::count(list.begin(), list.end(), '\n'));
  }
  void publish_raw(const std::string& topic, int count) {
    std::vector<redis::Command> commands;
    for (int i = 0; i < count; ++i) commands.push_back(make_xadd(topic, Message{std::to_string(i), {}}, {}));
    auto replies = run(us_.loop, admin_->ask_all(std::move(commands), Deadline::never()));
    ASSERT_TRUE(replies);
  }

  void open() { us_.open(options_, "us"); }
  void wait_for(const Subscriber& subscriber, std::size_t count) {
    run_until(us_.loop, [&] { return subscriber.received.size() >= count; });
  }
  /// Turns both loops until it is so: both processes live.
  void both_until(const std::function<bool()>& done) {
    run_until(us_.loop, [&] {
      them_.loop.turn(Nanos::zero());
      return done();
    });
  }
  void until_nothing_is_pending(const std::string& topic) {
    run_until(us_.loop, [&] { return pending(topic).empty(); });
  }

  /// What it has acknowledged survives kill().
  static redis::testing::RedisServer::Options durable() {
    redis::testing::RedisServer::Options options;
    options.append_only = true;
    return options;
  }

  redis::testing::RedisServer server_{durable()};
  RedisBrokerOptions options_;
  RedisPeer us_;
  RedisPeer them_;
  std::unique_ptr<redis::Client> admin_;
};

// --- the layout, shared with daprd ---

TEST_F(RedisBrokerTest, AMessageLiesInTheStreamAsDaprdWritesIt) {
  open();
  Message message{"{\"id\":\"1\"}", {{"rawPayload", "true"}}};
  ASSERT_TRUE(run(us_.loop, us_.broker->publish("orders", message, Deadline::never())));

  const Reply entries = say({"XRANGE", "orders", "-", "+"});

  ASSERT_EQ(entries.items.size(), 1U);
  const std::vector<Reply>& fields = entries.items[0].items.at(1).items;
  ASSERT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields[0].text, "data");
  EXPECT_EQ(fields[1].text, "{\"id\":\"1\"}");
  EXPECT_EQ(fields[2].text, "metadata");
  EXPECT_EQ(fields[3].text, "{\"rawPayload\":\"true\"}");
}

TEST_F(RedisBrokerTest, WhatDaprdWroteIsDelivered) {
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");

  say({"XADD", "orders", "*", "data", "with", "metadata", "{\"traceid\":\"x\"}"});
  say({"XADD", "orders", "*", "data", "without"});
  say({"XADD", "orders", "*", "something", "else"});

  wait_for(subscriber, 3);
  EXPECT_EQ(subscriber.received, (std::vector<std::string>{"with", "without", ""}));
  until_nothing_is_pending("orders");
  EXPECT_EQ(say({"XLEN", "orders"}).integer, 3);  // acknowledged ones stay, as with daprd
}

TEST_F(RedisBrokerTest, TheGroupIsTheConsumerIdAndBeginsAtTheOldest) {
  publish_raw("orders", 3);
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders", "audit");

  wait_for(subscriber, 3);
  EXPECT_EQ(consumers("orders", "audit"), std::vector<std::string>{"audit-caisson-us"});
}

TEST_F(RedisBrokerTest, AStreamIsTrimmedByLength) {
  options_.max_length = 100;
  options_.server.read_timeout = 10s;  // a busy machine is no silent server
  open();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(us_.publish("orders", "x"));

  EXPECT_LT(say({"XLEN", "orders"}).integer, 300);
  EXPECT_GE(say({"XLEN", "orders"}).integer, 100);
}

TEST_F(RedisBrokerTest, AStreamIsTrimmedByAge) {
  options_.stream_ttl = 1h;
  options_.server.read_timeout = 10s;
  auto now = std::chrono::system_clock::now();
  us_.open(options_, "us", [&now] { return now; });
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(us_.publish("orders", "x"));
  EXPECT_EQ(say({"XLEN", "orders"}).integer, 1000);

  now += 2h;
  ASSERT_TRUE(us_.publish("orders", "x"));

  EXPECT_LT(say({"XLEN", "orders"}).integer, 200);
}

TEST_F(RedisBrokerTest, ATopicThatIsNoStreamIsRefusedByName) {
  say({"SET", "orders", "x"});
  open();
  Subscriber subscriber;

  const auto subscribed = us_.try_subscribe(subscriber, "orders");
  const auto published = us_.publish("orders", "x");

  ASSERT_FALSE(subscribed);
  EXPECT_THAT(subscribed.error().message, HasSubstr("WRONGTYPE"));
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code, Errc::kInvalidArgument);
}

// --- what fails comes again ---

TEST_F(RedisBrokerTest, AttemptsAreCountedAtTheServer) {
  open();
  Subscriber subscriber;
  subscriber.script["bad"] = {Verdict::kRetry, Verdict::kGiveBack, Verdict::kRetrySoon};
  us_.subscribe(subscriber, "orders");
  ASSERT_TRUE(us_.publish("orders", "bad"));

  wait_for(subscriber, 4);

  EXPECT_EQ(subscriber.attempts, (std::vector<std::uint32_t>{1, 2, 2, 3}));
  until_nothing_is_pending("orders");
}

TEST_F(RedisBrokerTest, WithTheSwitchAFailedMessageIsAcknowledgedAsDaprdDoes) {
  options_.acknowledge_on_error = true;
  open();
  Subscriber subscriber;
  subscriber.script["bad"] = {Verdict::kRetry};
  subscriber.script["early"] = {Verdict::kGiveBack};
  us_.subscribe(subscriber, "orders");
  ASSERT_TRUE(us_.publish("orders", "bad"));
  ASSERT_TRUE(us_.publish("orders", "early"));

  wait_for(subscriber, 3);

  until_nothing_is_pending("orders");
  EXPECT_EQ(subscriber.received, (std::vector<std::string>{"bad", "early", "early"}));
}

TEST_F(RedisBrokerTest, WithoutARedeliverIntervalAFailedMessageWaitsForTheNextSubscription) {
  options_.redeliver_interval = 0s;
  open();
  Subscriber first;
  first.script["bad"] = {Verdict::kRetry};
  us_.subscribe(first, "orders");
  ASSERT_TRUE(us_.publish("orders", "bad"));
  wait_for(first, 1);
  // Far longer than its lease: it is renewed, so nobody takes it for abandoned.
  for (int i = 0; i < 5; ++i) {
    run_until(us_.loop, [&] { return pending("orders").at(0).idle > 100ms; });
    run_until(us_.loop, [&] { return pending("orders").at(0).idle < 100ms; });
  }
  EXPECT_EQ(first.received.size(), 1U);

  first.subscription.reset();
  Subscriber second;
  us_.subscribe(second, "orders");

  wait_for(second, 1);
  EXPECT_EQ(second.attempts, std::vector<std::uint32_t>{2});
}

TEST_F(RedisBrokerTest, WhatWasTrimmedBeforeItWasSettledDoesNotStayPending) {
  options_.redeliver_interval = 500ms;
  open();
  Subscriber subscriber;
  subscriber.script["bad"].assign(10, Verdict::kRetry);
  us_.subscribe(subscriber, "orders");
  ASSERT_TRUE(us_.publish("orders", "bad"));
  wait_for(subscriber, 1);

  say({"XTRIM", "orders", "MAXLEN", "0"});

  until_nothing_is_pending("orders");
  ASSERT_TRUE(us_.publish("orders", "good"));
  run_until(us_.loop, [&] { return subscriber.received.back() == "good"; });
}

// --- who holds what ---

TEST_F(RedisBrokerTest, AHandlerThatOutlastsItsLeaseManyTimesIsTheOnlyOne) {
  options_.processing_timeout = 300ms;  // also for those that renew nothing
  us_.open(options_, "us");
  them_.open(options_, "them");
  Subscriber ours;
  ours.hold = true;
  Subscriber theirs;
  us_.subscribe(ours, "orders");
  ASSERT_TRUE(us_.publish("orders", "slow"));
  wait_for(ours, 1);
  them_.subscribe(theirs, "orders");

  int renewals = 0;
  Nanos before{};
  both_until([&] {
    const Nanos idle = pending("orders").at(0).idle;
    if (idle < before) ++renewals;
    before = idle;
    return renewals >= 12;
  });
  ours.release();

  both_until([&] { return pending("orders").empty(); });
  EXPECT_EQ(ours.received.size(), 1U);
  EXPECT_TRUE(theirs.received.empty());
}

TEST_F(RedisBrokerTest, WhatAKilledInstanceHadInHandGoesToTheOther) {
  them_.open(options_, "them");
  Subscriber theirs;
  theirs.hold = true;
  them_.subscribe(theirs, "orders");
  publish_raw("orders", 50);
  run_until(them_.loop, [&] { return theirs.received.size() >= 4 && pending("orders").size() >= 50; });

  open();  // from here on nobody turns their loop
  Subscriber ours;
  us_.subscribe(ours, "orders");

  wait_for(ours, 50);
  until_nothing_is_pending("orders");
  EXPECT_EQ(ours.received.size(), 50U);
  EXPECT_EQ(std::set<std::string>(ours.received.begin(), ours.received.end()).size(), 50U);
  EXPECT_EQ(std::set<std::uint32_t>(ours.attempts.begin(), ours.attempts.end()), std::set<std::uint32_t>{2});
}

TEST_F(RedisBrokerTest, AnInstanceThatWasStoppedForLongDoesNotDeliverWhatOthersHaveTaken) {
  them_.open(options_, "them");
  Subscriber theirs;
  theirs.hold = true;
  them_.subscribe(theirs, "orders");
  publish_raw("orders", 50);
  run_until(them_.loop, [&] { return theirs.received.size() >= 4 && pending("orders").size() >= 50; });
  open();
  Subscriber ours;
  us_.subscribe(ours, "orders");
  wait_for(ours, 50);

  theirs.release();
  ASSERT_TRUE(us_.publish("orders", "last"));

  both_until([&] { return ours.received.size() + theirs.received.size() >= 55 && pending("orders").empty(); });
  // The four that ran when they were stopped were delivered twice, and nothing else was.
  EXPECT_EQ(ours.received.size() + theirs.received.size(), 55U);
}

TEST_F(RedisBrokerTest, ARestartedInstanceFirstTakesWhatItHadInHand) {
  options_.longest_lease = 1h;
  options_.processing_timeout = 1h;
  {
    RedisPeer before;
    before.open(options_, "us");
    Subscriber held;
    held.hold = true;
    before.subscribe(held, "orders");
    publish_raw("orders", 20);
    run_until(before.loop, [&] { return held.received.size() >= 4 && pending("orders").size() >= 20; });
    // Its farewell is never sent: the loop does not turn again.
  }
  publish_raw("orders", 1);

  open();
  Subscriber after;
  after.hold = true;
  us_.subscribe(after, "orders");
  wait_for(after, 4);
  after.release();

  wait_for(after, 21);
  until_nothing_is_pending("orders");
  EXPECT_EQ(after.received.size(), 21U);
  EXPECT_EQ(std::vector<std::uint32_t>(after.attempts.begin(), after.attempts.begin() + 4),
            (std::vector<std::uint32_t>{2, 2, 2, 2}));
}

TEST_F(RedisBrokerTest, WhatAConsumerOfDaprdLeftIsTakenAfterTheProcessingTimeout) {
  options_.processing_timeout = 1s;
  open();
  publish_raw("orders", 3);
  say({"XGROUP", "CREATE", "orders", "shop", "0"});
  say({"XREADGROUP", "GROUP", "shop", "shop", "COUNT", "2", "STREAMS", "orders", ">"});
  Subscriber ours;

  us_.subscribe(ours, "orders");

  wait_for(ours, 3);
  until_nothing_is_pending("orders");
  EXPECT_EQ(ours.received, (std::vector<std::string>{"2", "0", "1"}));
}

TEST_F(RedisBrokerTest, ADrainedInstanceLeavesWhatItHasNotBegunToTheOthersAtOnce) {
  options_.longest_lease = 30s;
  them_.open(options_, "them");
  Subscriber theirs;
  theirs.hold = true;
  them_.subscribe(theirs, "orders");
  publish_raw("orders", 50);
  run_until(them_.loop, [&] { return theirs.received.size() >= 4 && pending("orders").size() >= 50; });

  TaskScope scope(them_.loop);
  scope.spawn(theirs.subscription->drain(Deadline::never()));
  theirs.release();
  run_until(them_.loop, [&] { return scope.empty(); });

  const std::vector<PendingEntry> left = pending("orders");
  EXPECT_EQ(left.size(), 46U);
  for (const PendingEntry& entry : left) {
    EXPECT_GE(entry.idle, Nanos(60s));
    EXPECT_EQ(entry.deliveries, 0U);
  }
}

TEST_F(RedisBrokerTest, NamesOfDeadInstancesAreRemovedUnlessSomethingIsPending) {
  options_.longest_lease = 1h;  // nothing is taken over meanwhile
  options_.processing_timeout = 1h;
  options_.consumer_expiry = 200ms;
  publish_raw("orders", 1);
  say({"XGROUP", "CREATE", "orders", "shop", "0"});
  say({"XREADGROUP", "GROUP", "shop", "shop-caisson-holder", "STREAMS", "orders", ">"});
  say({"XGROUP", "CREATECONSUMER", "orders", "shop", "shop-caisson-dead"});
  say({"XGROUP", "CREATECONSUMER", "orders", "shop", "somebody-elses"});
  run_until(us_.loop, [&] {
    const auto entries = pending("orders");
    return entries.at(0).idle > 500ms;
  });
  options_.longest_lease = 900ms;
  options_.processing_timeout = 1h;
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");

  run_until(us_.loop, [&] { return consumers("orders").size() == 3; });

  // The holder's message is taken over when its lease has run out; only then is it removed, too.
  wait_for(subscriber, 1);
  run_until(us_.loop, [&] { return consumers("orders").size() == 2; });
  EXPECT_EQ(consumers("orders"), (std::vector<std::string>{"shop-caisson-us", "somebody-elses"}));
}

TEST_F(RedisBrokerTest, AThousandSubscriptionsLeaveNoConnectionBehind) {
  open();
  const std::size_t before = connections();
  for (int i = 0; i < 1000; ++i) {
    // Several topics: one that is subscribed to again at once keeps its connection.
    const std::string topic = "orders-" + std::to_string(i % 7);
    Subscriber subscriber;
    us_.subscribe(subscriber, topic);
    if (i % 100 == 0) {
      ASSERT_TRUE(us_.publish(topic, "x"));
      wait_for(subscriber, 1);
    }
  }

  run_until(us_.loop, [&] { return connections() == before; });
}

// --- faults of the server ---

TEST_F(RedisBrokerTest, AnEmptiedServerGetsItsGroupsBackAndTheLogStaysReadable) {
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");
  ::testing::internal::CaptureStderr();
  const auto begun = std::chrono::steady_clock::now();

  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(us_.publish("orders", std::to_string(i)));
    wait_for(subscriber, static_cast<std::size_t>(i) + 1);
    say({"FLUSHALL"});
  }
  ASSERT_TRUE(us_.publish("orders", "last"));
  wait_for(subscriber, 21);

  const std::string lines = ::testing::internal::GetCapturedStderr();
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begun).count();
  EXPECT_LE(std::count(lines.begin(), lines.end(), '\n'), seconds + 2) << lines;
  EXPECT_EQ(us_.broker->down_reason(), std::nullopt);
}

TEST_F(RedisBrokerTest, ARestartOfTheServerLosesNothingThatWasAcknowledged) {
  open();
  Subscriber subscriber;
  subscriber.script["5"] = {Verdict::kRetry};
  us_.subscribe(subscriber, "orders");
  std::set<std::string> published;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string data = std::to_string(round * 20 + i);
      if (us_.publish("orders", data)) published.insert(data);
    }
    server_.kill();
    run_until(us_.loop, [&] { return us_.broker->down_reason().has_value(); });
    server_.start();
    run_until(us_.loop, [&] { return !us_.broker->down_reason(); });
  }

  run_until(us_.loop, [&] {
    const std::set<std::string> received(subscriber.received.begin(), subscriber.received.end());
    return std::includes(received.begin(), received.end(), published.begin(), published.end());
  });
  until_nothing_is_pending("orders");
  EXPECT_EQ(published.size(), 60U);
  EXPECT_GT(us_.status_changes, 0);
}

TEST_F(RedisBrokerTest, ASilentConnectionIsNoticedAndReplaced) {
  redis::testing::Proxy proxy(server_.port());
  options_.server.addresses = {{"127.0.0.1", proxy.port()}};
  options_.server.dial_timeout = 300ms;
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");
  ASSERT_TRUE(us_.publish("orders", "before"));
  wait_for(subscriber, 1);

  proxy.swallow();
  run_until(us_.loop, [&] { return us_.broker->down_reason().has_value(); });
  say({"XADD", "orders", "*", "data", "meanwhile"});
  const Deadline soon = us_.loop.deadline_in(500ms);
  const auto lost = run(us_.loop, us_.broker->publish("orders", Message{"lost", {}}, soon));
  EXPECT_FALSE(lost);

  proxy.forward();
  run_until(us_.loop, [&] { return !us_.broker->down_reason(); });
  ASSERT_TRUE(us_.publish("orders", "after"));
  run_until(us_.loop, [&] {
    return std::ranges::count(subscriber.received, "meanwhile") == 1 &&
           std::ranges::count(subscriber.received, "after") == 1;
  });
}

TEST_F(RedisBrokerTest, ASubscriptionBegunWithoutAServerStartsWhenItIsBack) {
  open();
  server_.kill();
  run_until(us_.loop, [&] { return us_.broker->down_reason().has_value(); });
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");

  server_.start();

  ASSERT_TRUE(us_.publish("orders", "x"));
  wait_for(subscriber, 1);
}

TEST_F(RedisBrokerTest, ABacklogIsReadInPiecesAndLosesNothing) {
  publish_raw("orders", 10'000);
  open();
  Subscriber subscriber;
  subscriber.hold = true;
  us_.subscribe(subscriber, "orders");
  run_until(us_.loop, [&] { return subscriber.received.size() == 4 && pending("orders").size() >= 100; });
  EXPECT_LE(pending("orders").size(), options_.queue_depth + options_.concurrency);

  subscriber.release();

  wait_for(subscriber, 10'000);
  until_nothing_is_pending("orders");
  EXPECT_EQ(subscriber.received.size(), 10'000U);
  EXPECT_LE(subscriber.most_running, 4U);
}

TEST_F(RedisBrokerTest, AServerThatRefusesTheGroupIsSaidAndNotAskedWithoutPause) {
  open();
  Subscriber subscriber;
  us_.subscribe(subscriber, "orders");
  say({"DEL", "orders"});
  say({"SET", "orders", "no stream"});

  run_until(us_.loop, [&] { return us_.broker->down_reason().has_value(); });
  EXPECT_THAT(*us_.broker->down_reason(), HasSubstr("orders"));

  say({"DEL", "orders"});
  ASSERT_TRUE(us_.publish("orders", "x"));
  wait_for(subscriber, 1);
  run_until(us_.loop, [&] { return !us_.broker->down_reason(); });
}

}  // namespace
}  // namespace caisson::pubsub
