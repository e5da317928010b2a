#include "capabilities/pubsub/collector.hpp"

#include <gtest/gtest.h>

#include <map>

#include "bus/testing/fake_clock.hpp"

namespace caisson::pubsub {
namespace {

using namespace std::chrono_literals;

class CollectorTest : public ::testing::Test {
 protected:
  void make(Collector::Limits limits) {
    Collector::HandOver hand_over = [this](std::vector<Delivery> deliveries) { return take(std::move(deliveries)); };
    collector_ = std::make_unique<Collector>(loop_, limits, std::move(hand_over));
  }
  Task<std::vector<Verdict>> take(std::vector<Delivery> deliveries) {
    std::vector<std::string>& batch = batches_.emplace_back();
    std::vector<Verdict> verdicts;
    for (const Delivery& one : deliveries) {
      batch.push_back(one.message.data);
      verdicts.push_back(one.message.data == "bad" ? Verdict::kRetry : Verdict::kAcknowledge);
    }
    co_return verdicts;
  }
  TaskScope::Id give(const std::string& data) {
    Delivery delivery;
    delivery.message.data = data;
    struct Keep {
      static Task<void> verdict(Task<Verdict> task, Verdict& to) { to = co_await std::move(task); }
    };
    Verdict& verdict = verdicts_[data];
    verdict = Verdict::kGiveBack;  // until there is one
    return scope_.spawn(Keep::verdict(collector_->take(std::move(delivery)), verdict));
  }
  void settle() {
    while (loop_.turn(Nanos(0))) {
    }
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  std::vector<std::vector<std::string>> batches_;
  std::map<std::string, Verdict> verdicts_;
  std::unique_ptr<Collector> collector_;
  TaskScope scope_{loop_};
};

using Batches = std::vector<std::vector<std::string>>;

TEST_F(CollectorTest, AFullBatchGoesAtOnceAndEachMessageHasItsVerdict) {
  make({3, 1h});

  for (const char* const data : {"a", "bad", "c"}) give(data);
  settle();

  EXPECT_EQ(batches_, (Batches{{"a", "bad", "c"}}));
  EXPECT_EQ(verdicts_, (std::map<std::string, Verdict>{
                           {"a", Verdict::kAcknowledge}, {"bad", Verdict::kRetry}, {"c", Verdict::kAcknowledge}}));
}

TEST_F(CollectorTest, ABatchThatIsNotFullGoesWhenItsFirstMessageHasWaited) {
  make({100, 1s});
  give("a");
  settle();
  clock_.advance(900ms);
  give("b");
  settle();
  EXPECT_TRUE(batches_.empty());

  clock_.advance(100ms);
  settle();

  EXPECT_EQ(batches_, (Batches{{"a", "b"}}));
}

TEST_F(CollectorTest, ABatchHoldsNoMoreBytesThanItsLimitUnlessOneMessageDoes) {
  make({100, 1h, 10});

  for (const char* const data : {"12345", "12345", "1", "12345678901234", "2"}) give(data);
  settle();

  EXPECT_EQ(batches_, (Batches{{"12345", "12345"}, {"1"}, {"12345678901234"}}));
}

TEST_F(CollectorTest, AHandlerThatIsGoneLeavesItsBatch) {
  make({2, 1h});
  const TaskScope::Id gone = give("a");
  scope_.cancel(gone);
  settle();

  give("b");
  settle();

  EXPECT_EQ(batches_, (Batches{{"b"}}));
}

TEST_F(CollectorTest, InAHurryNothingWaits) {
  make({100, 1h});
  give("a");
  settle();

  collector_->hurry();
  settle();
  give("b");
  settle();

  EXPECT_EQ(batches_, (Batches{{"a"}, {"b"}}));
}

TEST_F(CollectorTest, WhatASubscriptionAsksForIsBounded) {
  config::Subscription subscription;
  EXPECT_EQ(Collector::limits_of(subscription).messages, 100U);
  EXPECT_EQ(Collector::limits_of(subscription).wait, 1s);

  subscription.bulk_max_messages = 4'000'000'000;
  subscription.bulk_max_await = 1000h;

  EXPECT_EQ(Collector::limits_of(subscription).messages, Collector::kMostMessages);
  EXPECT_EQ(Collector::limits_of(subscription).wait, Collector::kLongestWait);
}

}  // namespace
}  // namespace caisson::pubsub
