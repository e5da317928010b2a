#include "capabilities/pubsub/kafka_progress.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

TEST(KafkaProgressTest, AConsumerThatIsBehindAndDoesNotMoveIsStuck) {
  KafkaProgress progress;
  EXPECT_FALSE(progress.is_stuck("orders", 0, {5, 9, false}));
  EXPECT_FALSE(progress.is_stuck("orders", 0, {5, 9, false}));
  EXPECT_TRUE(progress.is_stuck("orders", 0, {5, 12, false}));
}

TEST(KafkaProgressTest, OneThatMovesOrIsAtTheEndOrHasWorkIsNot) {
  KafkaProgress progress;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(progress.is_stuck("moves", 0, {i, 100, false}));
    EXPECT_FALSE(progress.is_stuck("at the end", 0, {7, 7, false}));
    EXPECT_FALSE(progress.is_stuck("busy", 0, {5, 9, true}));
  }
}

TEST(KafkaProgressTest, WorkInBetweenBeginsTheCountAnew) {
  KafkaProgress progress;
  progress.is_stuck("orders", 0, {5, 9, false});
  progress.is_stuck("orders", 0, {5, 9, false});
  EXPECT_FALSE(progress.is_stuck("orders", 0, {5, 9, true}));

  EXPECT_FALSE(progress.is_stuck("orders", 0, {5, 9, false}));
}

TEST(KafkaProgressTest, APartitionThatWasGivenAwayIsForgotten) {
  KafkaProgress progress;
  progress.is_stuck("orders", 0, {5, 9, false});
  progress.is_stuck("orders", 0, {5, 9, false});

  progress.forget("orders", 0);

  EXPECT_FALSE(progress.is_stuck("orders", 0, {5, 9, false}));
}

}  // namespace
}  // namespace caisson::pubsub
