#include "capabilities/pubsub/kafka_window.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using namespace std::chrono_literals;

Message message(const std::string& data) { return Message{data, {}}; }

TEST(KafkaWindowTest, ThePositionMovesOverAnUnbrokenRunOnly) {
  KafkaWindow window;
  for (const std::int64_t offset : {10, 11, 13}) ASSERT_TRUE(window.add(offset, message("x")));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(window.take(0ns, false));
  EXPECT_EQ(window.settled_before(), std::nullopt);

  window.finish(11);
  EXPECT_EQ(window.settled_before(), std::nullopt);
  window.finish(10);
  EXPECT_EQ(window.settled_before(), 13);
  window.finish(13);

  EXPECT_EQ(window.settled_before(), 14);
  EXPECT_EQ(window.size(), 0U);
}

TEST(KafkaWindowTest, InOrderNothingOvertakesAFailedMessage) {
  KafkaWindow window;
  window.add(1, message("a"));
  window.add(2, message("b"));
  ASSERT_EQ(window.take(0ns, true), 1);
  EXPECT_EQ(window.take(0ns, true), std::nullopt);

  window.give_back(1, 5s, 2);

  EXPECT_EQ(window.take(4s, true), std::nullopt);
  EXPECT_EQ(window.next_due(), Nanos(5s));
  ASSERT_EQ(window.take(5s, true), 1);
  EXPECT_EQ(window.at(1).attempt, 2U);
  EXPECT_EQ(window.at(1).message.data, "a");
  window.finish(1);
  EXPECT_EQ(window.take(5s, true), 2);
}

TEST(KafkaWindowTest, WithoutOrderOthersPassAFailedMessage) {
  KafkaWindow window;
  window.add(1, message("a"));
  window.add(2, message("b"));
  ASSERT_EQ(window.take(0ns, false), 1);
  window.give_back(1, 5s, 2);

  ASSERT_EQ(window.take(0ns, false), 2);
  window.finish(2);

  EXPECT_EQ(window.settled_before(), std::nullopt);
  EXPECT_EQ(window.size(), 2U);
  EXPECT_EQ(window.take(5s, false), 1);
}

TEST(KafkaWindowTest, WhatIsFetchedASecondTimeIsPassedOver) {
  KafkaWindow window;
  window.add(1, message("a"));
  EXPECT_FALSE(window.add(1, message("a")));
  window.take(0ns, true);
  window.finish(1);

  EXPECT_FALSE(window.add(1, message("a")));
  EXPECT_TRUE(window.add(2, message("b")));
}

TEST(KafkaWindowTest, WhatIsDroppedStillHoldsThePosition) {
  KafkaWindow window;
  for (const std::int64_t offset : {1, 2, 3}) window.add(offset, message("x"));
  ASSERT_EQ(window.take(0ns, false), 1);
  ASSERT_EQ(window.take(0ns, false), 2);
  window.give_back(1, 1s, 2);

  window.drop_waiting();
  window.finish(2);

  EXPECT_EQ(window.take(10s, false), std::nullopt);
  EXPECT_EQ(window.settled_before(), std::nullopt);
  EXPECT_EQ(window.running(), 0U);
}

}  // namespace
}  // namespace caisson::pubsub
