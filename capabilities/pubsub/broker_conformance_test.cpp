// The suite; each program that is linked with it says which backends it runs on.

#include "capabilities/pubsub/testing/broker_conformance.hpp"

#include <algorithm>
#include <set>

namespace caisson::pubsub::testing {

using caisson::testing::run;
using caisson::testing::run_until;
using namespace std::chrono_literals;

TEST_P(BrokerConformanceTest, ASubscriberGetsWhatIsPublishedWithItsMetadata) {
  MessageMetadata seen;
  Handler handler = [&](Delivery delivery) {
    seen = delivery.message.metadata;
    struct Answer {
      static Task<Verdict> give() { co_return Verdict::kAcknowledge; }
    };
    return Answer::give();
  };
  auto subscription =
      run(loop_, broker_->subscribe(SubscribeOptions{name("orders"), name("shop"), {}}, handler, Deadline::never()));
  ASSERT_TRUE(subscription);

  ASSERT_TRUE(publish("orders", "x", {{"key", "a\"b"}}));

  run_until(loop_, [&] { return !seen.empty(); });
  // What begins like this is the broker's own: where the message lay, when it came.
  std::erase_if(seen, [](const auto& item) { return item.first.starts_with("__"); });
  EXPECT_EQ(seen, (MessageMetadata{{"key", "a\"b"}}));
}

TEST_P(BrokerConformanceTest, BytesArriveAsTheyWere) {
  const std::string bytes("\0\xFF\xFE{\"", 5);
  Subscriber subscriber;
  subscribe(subscriber, "orders", "shop");

  ASSERT_TRUE(publish("orders", bytes));
  ASSERT_TRUE(publish("orders", ""));

  wait_for(subscriber, 2);
  EXPECT_EQ(subscriber.received, (std::vector<std::string>{bytes, ""}));
}

TEST_P(BrokerConformanceTest, OneTopicDoesNotReachAnother) {
  Subscriber orders;
  Subscriber returns;
  subscribe(orders, "orders", "shop");
  subscribe(returns, "returns", "shop");

  ASSERT_TRUE(publish("returns", "1"));
  ASSERT_TRUE(publish("orders", "2"));

  wait_for(orders, 1);
  wait_for(returns, 1);
  EXPECT_EQ(orders.received, std::vector<std::string>{"2"});
  EXPECT_EQ(returns.received, std::vector<std::string>{"1"});
}

TEST_P(BrokerConformanceTest, EveryGroupGetsAllAndMembersOfOneShare) {
  Subscriber shop_a;
  Subscriber shop_b;
  Subscriber audit;
  subscribe(shop_a, "orders", "shop");
  subscribe(shop_b, "orders", "shop");
  subscribe(audit, "orders", "audit");

  for (int i = 0; i < 40; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  wait_for(audit, 40);
  run_until(loop_, [&] { return shop_a.received.size() + shop_b.received.size() >= 40; });
  settle();
  EXPECT_EQ(audit.received.size(), 40U);
  std::set<std::string> shared(shop_a.received.begin(), shop_a.received.end());
  shared.insert(shop_b.received.begin(), shop_b.received.end());
  EXPECT_EQ(shared.size(), 40U);
  EXPECT_EQ(shop_a.received.size() + shop_b.received.size(), 40U);
  EXPECT_GT(shop_a.received.size(), 0U);
  EXPECT_GT(shop_b.received.size(), 0U);
}

TEST_P(BrokerConformanceTest, ABacklogIsDeliveredInOrderOfPublishing) {
  Subscriber subscriber;
  subscriber.hold = true;
  subscribe(subscriber, "orders", "shop");
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(publish("orders", expected.back()));
  }

  subscriber.release();

  wait_for(subscriber, expected.size());
  EXPECT_EQ(subscriber.received, expected);
}

TEST_P(BrokerConformanceTest, ASlowTopicDoesNotHoldUpAnother) {
  Subscriber slow;
  Subscriber quick;
  slow.hold = true;
  subscribe(slow, "slow", "shop");
  subscribe(quick, "quick", "shop");
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(publish("slow", std::to_string(i)));

  for (int i = 0; i < 50; ++i) ASSERT_TRUE(publish("quick", std::to_string(i)));

  wait_for(quick, 50);
  EXPECT_LE(slow.most_running, 4U);
  slow.release();
  wait_for(slow, 200);
}

TEST_P(BrokerConformanceTest, WhoAsksForMoreHandlersAtOnceGetsThem) {
  Subscriber batch;
  batch.hold = true;
  SubscribeOptions options{name("orders"), name("shop"), {}, 5 * kConcurrency};
  Handler handler = batch.handler(loop_);
  auto subscription = run(loop_, broker_->subscribe(std::move(options), std::move(handler), Deadline::never()));
  ASSERT_TRUE(subscription);
  batch.subscription = *std::move(subscription);
  for (std::size_t i = 0; i < 6 * kConcurrency; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  wait_for(batch, 5 * kConcurrency);
  settle();

  EXPECT_EQ(batch.most_running, 5 * kConcurrency);
  batch.release();
  wait_for(batch, 6 * kConcurrency);
}

TEST_P(BrokerConformanceTest, DrainingFinishesWhatRunsAndTakesNothingNew) {
  Subscriber subscriber;
  subscriber.hold = true;
  subscribe(subscriber, "orders", "shop");
  ASSERT_TRUE(publish("orders", "running"));
  wait_for(subscriber, 1);
  TaskScope scope(loop_);
  scope.spawn(subscriber.subscription->drain(Deadline::never()));
  ASSERT_TRUE(publish("orders", "later"));
  settle();
  EXPECT_FALSE(scope.empty());

  subscriber.release();

  run_until(loop_, [&] { return scope.empty(); });
  settle();
  EXPECT_EQ(subscriber.received, std::vector<std::string>{"running"});
}

TEST_P(BrokerConformanceTest, DrainingGivesUpAtItsDeadline) {
  Subscriber subscriber;
  subscriber.hold = true;
  subscribe(subscriber, "orders", "shop");
  ASSERT_TRUE(publish("orders", "stuck"));
  wait_for(subscriber, 1);
  TaskScope scope(loop_);
  scope.spawn(subscriber.subscription->drain(loop_.deadline_in(5s)));

  clock_.advance(6s);

  run_until(loop_, [&] { return scope.empty(); });
  EXPECT_EQ(subscriber.running, 1U);
}

TEST_P(BrokerConformanceTest, AFailedMessageComesAgainAfterTheRedeliveryIntervalAndNotBefore) {
  if (!broker_->features().redelivers) return;
  Subscriber subscriber;
  subscriber.script["bad"] = {Verdict::kRetry, Verdict::kRetry};
  subscribe(subscriber, "orders", "shop");
  ASSERT_TRUE(publish("orders", "bad"));
  ASSERT_TRUE(publish("orders", "good"));
  wait_for(subscriber, 2);
  clock_.advance(kRedeliverInterval - 1s);
  settle();
  EXPECT_EQ(subscriber.received.size(), 2U);

  clock_.advance(1s);
  wait_for(subscriber, 3);
  settle();
  clock_.advance(kRedeliverInterval);
  wait_for(subscriber, 4);

  settle();
  clock_.advance(kRedeliverInterval * 3);
  settle();
  EXPECT_EQ(subscriber.received, (std::vector<std::string>{"bad", "good", "bad", "bad"}));
  EXPECT_EQ(subscriber.attempts, (std::vector<std::uint32_t>{1, 1, 2, 3}));
}

TEST_P(BrokerConformanceTest, WhatIsGivenBackComesSoonAndIsNotCounted) {
  if (!broker_->features().redelivers) return;
  Subscriber subscriber;
  subscriber.script["early"] = {Verdict::kGiveBack};
  subscribe(subscriber, "orders", "shop");
  ASSERT_TRUE(publish("orders", "early"));
  wait_for(subscriber, 1);
  settle();

  clock_.advance(1s);

  wait_for(subscriber, 2);
  EXPECT_EQ(subscriber.attempts, (std::vector<std::uint32_t>{1, 1}));
}

TEST_P(BrokerConformanceTest, WhatASubscriberHeldWhenItWentAwayGoesToTheNext) {
  if (!broker_->features().redelivers) return;
  Subscriber first;
  first.hold = true;
  subscribe(first, "orders", "shop");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));
  wait_for(first, 4);

  first.subscription.reset();
  Subscriber second;
  subscribe(second, "orders", "shop");

  wait_for(second, 20);
  settle();
  EXPECT_EQ(second.received.size(), 20U);
  EXPECT_EQ(std::set<std::string>(second.received.begin(), second.received.end()).size(), 20U);
}

TEST_P(BrokerConformanceTest, AMessageThatAlwaysFailsDoesNotHoldUpItsTopic) {
  if (!broker_->features().redelivers) return;
  Subscriber subscriber;
  subscriber.script["bad"].assign(100, Verdict::kRetry);
  subscribe(subscriber, "orders", "shop");
  ASSERT_TRUE(publish("orders", "bad"));

  for (int i = 0; i < 300; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  wait_for(subscriber, 301);
}

TEST_P(BrokerConformanceTest, AGroupThatComesLateBeginsAtTheOldestMessageThatIsLeft) {
  if (!broker_->features().durable) return;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(publish("orders", std::to_string(i)));

  Subscriber late;
  subscribe(late, "orders", "late");

  wait_for(late, 5);
  EXPECT_EQ(late.received, (std::vector<std::string>{"0", "1", "2", "3", "4"}));
}

TEST_P(BrokerConformanceTest, MessagesOfATopicNobodySubscribesToAreLostWhereNothingIsStored) {
  if (broker_->features().durable) return;
  ASSERT_TRUE(publish("orders", "lost"));
  Subscriber late;
  subscribe(late, "orders", "late");

  ASSERT_TRUE(publish("orders", "seen"));

  wait_for(late, 1);
  EXPECT_EQ(late.received, std::vector<std::string>{"seen"});
}

TEST_P(BrokerConformanceTest, ATopicWithAStarTakesAllThatBeginLikeIt) {
  if (!broker_->features().wildcards) return;
  Subscriber subscriber;
  subscribe(subscriber, "orders/*", "shop");

  ASSERT_TRUE(publish("orders/new", "1"));
  ASSERT_TRUE(publish("returns/new", "2"));
  ASSERT_TRUE(publish("orders/", "3"));

  wait_for(subscriber, 2);
  settle();
  EXPECT_EQ(subscriber.received, (std::vector<std::string>{"1", "3"}));
}

TEST_P(BrokerConformanceTest, AThousandSubscriptionsComeAndGo) {
  for (int i = 0; i < 1000; ++i) {
    Subscriber subscriber;
    subscribe(subscriber, "orders", "shop");
  }
  Subscriber last;
  subscribe(last, "orders", "shop");

  ASSERT_TRUE(publish("orders", "x"));

  wait_for(last, 1);
  settle();
  EXPECT_EQ(last.received, std::vector<std::string>{"x"});
}

}  // namespace caisson::pubsub::testing
