#include "capabilities/pubsub/redis_held_messages.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kLease = 6s;
constexpr Nanos kNow = 1h;

StreamEntry entry(std::uint64_t ms) { return {{ms, 0}, {std::to_string(ms), {}}}; }

class HeldMessagesTest : public ::testing::Test {
 protected:
  /// The data of the next message a handler gets; empty: none.
  std::string begin(Nanos now = kNow) {
    auto taken = held_.begin(now, kLease);
    if (!taken) return {};
    last_ = *taken;
    return taken->message.data;
  }
  /// One that has failed `times` and waits.
  void failed(std::uint64_t ms, Nanos due, bool counted = true) {
    held_.take_new(entry(ms), kNow);
    while (begin() != std::to_string(ms)) {
    }
    held_.fail({ms, 0}, due, counted);
  }

  HeldMessages held_;
  HeldMessages::Taken last_;
};

TEST_F(HeldMessagesTest, NewMessagesComeInOrderAndOnce) {
  for (const std::uint64_t ms : {1, 2, 3, 2}) held_.take_new(entry(ms), kNow);

  EXPECT_EQ(begin(), "1");
  EXPECT_EQ(begin(), "2");
  EXPECT_EQ(begin(), "3");
  EXPECT_EQ(begin(), "");
}

TEST_F(HeldMessagesTest, ClaimedOnesAndNewOnesTakeTurns) {
  for (const std::uint64_t ms : {1, 2, 3, 4}) held_.take_new(entry(ms), kNow);
  for (const std::uint64_t ms : {11, 12}) held_.take_again(entry(ms), 2, kNow);

  std::vector<std::string> order;
  for (std::string next = begin(); !next.empty(); next = begin()) order.push_back(next);

  EXPECT_EQ(order, (std::vector<std::string>{"1", "11", "2", "12", "3", "4"}));
}

TEST_F(HeldMessagesTest, AFailedMessageIsClaimedWhenItIsDueAsAFurtherAttempt) {
  failed(1, kNow + 15s);
  EXPECT_EQ(held_.next_due(), kNow + 15s);
  EXPECT_TRUE(held_.claim_due(kNow + 14s, 10).empty());

  const auto claims = held_.claim_due(kNow + 15s, 10);

  ASSERT_EQ(claims.size(), 1U);
  EXPECT_EQ(claims[0].attempt, 2U);
  EXPECT_TRUE(held_.claim_due(kNow + 15s, 10).empty());  // it is being claimed
  held_.take_again(entry(1), claims[0].attempt, kNow + 15s);
  EXPECT_EQ(begin(kNow + 15s), "1");
  EXPECT_EQ(last_.attempt, 2U);
}

TEST_F(HeldMessagesTest, WhatWaitsCanBeHurried) {
  failed(1, kNow + 15s);
  failed(2, Nanos::max() - Nanos(1));
  failed(3, kNow - 1s);

  held_.hurry(kNow);

  EXPECT_EQ(held_.claim_due(kNow, 10).size(), 3U);
}

TEST_F(HeldMessagesTest, WhatWasGivenBackIsNotCounted) {
  failed(1, kNow + 1s, false);

  const auto claims = held_.claim_due(kNow + 1s, 10);

  ASSERT_EQ(claims.size(), 1U);
  EXPECT_EQ(claims[0].attempt, 1U);
}

TEST_F(HeldMessagesTest, AClaimThatFailedIsTriedAgainWithTheSameCount) {
  failed(1, kNow);
  const auto claims = held_.claim_due(kNow, 10);

  held_.put_back(claims, kNow + 1s);

  EXPECT_TRUE(held_.claim_due(kNow, 10).empty());
  const auto again = held_.claim_due(kNow + 1s, 10);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempt, 2U);
}

TEST_F(HeldMessagesTest, OneThatRunsOrWaitsIsNotTakenTwice) {
  held_.take_new(entry(1), kNow);
  EXPECT_EQ(begin(), "1");
  held_.take_again(entry(1), 2, kNow);
  held_.take_new(entry(1), kNow);
  EXPECT_EQ(begin(), "");

  held_.acknowledge({1, 0});
  held_.take_new(entry(1), kNow);

  EXPECT_EQ(begin(), "");
}

TEST_F(HeldMessagesTest, AnAcknowledgedOneIsHeldUntilTheServerKnows) {
  for (const std::uint64_t ms : {1, 2, 3}) held_.take_new(entry(ms), kNow);
  for (const std::uint64_t ms : {1, 2, 3}) {
    EXPECT_EQ(begin(), std::to_string(ms));
    held_.acknowledge({ms, 0});
  }
  auto told = held_.take_acknowledged(2);
  EXPECT_EQ(told, (std::vector<StreamId>{{1, 0}, {2, 0}}));

  held_.unsettled(told);

  told = held_.take_acknowledged(10);
  EXPECT_EQ(told, (std::vector<StreamId>{{1, 0}, {2, 0}, {3, 0}}));
  EXPECT_EQ(held_.unsettled_count(), 3U);
  EXPECT_TRUE(held_.holds({1, 0}));
  held_.settled(told);
  EXPECT_TRUE(held_.empty());
  EXPECT_EQ(held_.unsettled_count(), 0U);
}

TEST_F(HeldMessagesTest, WhatMayBeAnotherConsumersIsNotBegun) {
  held_.take_new(entry(1), kNow);
  EXPECT_EQ(begin(kNow + kLease), "");
  EXPECT_EQ(held_.in_doubt(kNow + kLease, kLease), std::vector<StreamId>({{1, 0}}));

  held_.renewed(kNow + kLease);

  EXPECT_EQ(begin(kNow + kLease), "1");
}

TEST_F(HeldMessagesTest, WhatIsAnotherConsumersIsForgottenAndMayComeBack) {
  held_.take_new(entry(1), kNow);
  held_.take_new(entry(2), kNow);

  held_.forget({1, 0});

  EXPECT_EQ(begin(), "2");
  EXPECT_EQ(begin(), "");
  held_.take_again(entry(1), 2, kNow);
  EXPECT_EQ(begin(), "1");
}

TEST_F(HeldMessagesTest, ForgettingAWaitingOneForgetsItsMoment) {
  failed(1, kNow + 15s);

  held_.forget({1, 0});

  EXPECT_EQ(held_.next_due(), Nanos::max());
  EXPECT_TRUE(held_.claim_due(kNow + 15s, 10).empty());
}

TEST_F(HeldMessagesTest, WhatIsLeftBehindCountsOnlyWhatWasTried) {
  failed(1, kNow + 15s);                // tried once
  failed(2, kNow + 1s, false);          // not tried
  held_.take_new(entry(3), kNow);       // not begun
  held_.take_again(entry(4), 3, kNow);  // tried twice before
  held_.take_new(entry(5), kNow);
  while (begin() != "5") {
  }
  held_.acknowledge({5, 0});

  std::map<std::uint64_t, std::uint32_t> attempts;
  for (const auto& claim : held_.leftovers()) attempts[claim.id.ms] = claim.attempt;

  EXPECT_EQ(attempts, (std::map<std::uint64_t, std::uint32_t>{{1, 1}, {2, 0}, {3, 0}, {4, 2}}));
  EXPECT_EQ(held_.unsettled_ids(), std::vector<StreamId>({{5, 0}}));
}

TEST_F(HeldMessagesTest, OnlyWhatNobodyHasBegunIsTakenBack) {
  for (const std::uint64_t ms : {1, 2}) held_.take_new(entry(ms), kNow);
  EXPECT_EQ(begin(), "1");

  const auto unbegun = held_.take_unbegun();

  ASSERT_EQ(unbegun.size(), 1U);
  EXPECT_EQ(unbegun[0].id, (StreamId{2, 0}));
  EXPECT_EQ(unbegun[0].attempt, 0U);
  EXPECT_EQ(held_.ids(), std::vector<StreamId>({{1, 0}}));
}

TEST_F(HeldMessagesTest, NoMoreThanSoManyFailedOnesAreRemembered) {
  for (std::uint64_t ms = 1; ms <= HeldMessages::kWaitingLimit + 5; ++ms) failed(ms, kNow + 15s);

  EXPECT_EQ(held_.ids().size(), HeldMessages::kWaitingLimit);
}

}  // namespace
}  // namespace caisson::pubsub
