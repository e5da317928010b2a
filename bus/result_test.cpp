#include "bus/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "bus/deadline.hpp"
#include "bus/testing/fake_clock.hpp"

namespace caisson {
namespace {

using namespace std::chrono_literals;

Result<int> number(bool good) {
  if (good) return 7;
  return Error{Errc::kNotFound, "no number"};
}

Result<std::string> described(bool good) {
  ASSIGN(const int value, number(good));
  TRY(number(good));
  return "number " + std::to_string(value);
}

TEST(ResultTest, AssignGivesTheValueOrReturnsTheError) {
  const auto good = described(true);
  const auto bad = described(false);

  ASSERT_TRUE(good);
  EXPECT_EQ(*good, "number 7");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Errc::kNotFound);
  EXPECT_EQ(bad.error().message, "no number");
}

TEST(ResultTest, AMoveOnlyValueIsMovedOut) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));

  const std::unique_ptr<int> value = *std::move(result);

  EXPECT_EQ(*value, 3);
}

TEST(ResultTest, AbsenceIsAValue) {
  const Result<std::optional<int>> nothing = std::optional<int>();
  const Result<std::optional<int>> something = 4;

  EXPECT_TRUE(nothing);
  EXPECT_FALSE(nothing->has_value());
  EXPECT_EQ(**something, 4);
}

TEST(DeadlineTest, ADeadlineBeyondTheClocksRangeIsNever) {
  const testing::FakeClock clock;

  EXPECT_TRUE(Deadline::after(clock, Nanos::max()).is_never());
  EXPECT_TRUE(Deadline::after(clock, Nanos::max() - clock.now()).is_never());
  EXPECT_FALSE(Deadline::after(clock, 1h).is_never());
}

TEST(DeadlineTest, WhatIsLeftIsNeverNegative) {
  testing::FakeClock clock;
  const Deadline deadline = Deadline::after(clock, 1s);

  EXPECT_EQ(deadline.left(clock.now()), 1s);
  clock.advance(2s);

  EXPECT_EQ(deadline.left(clock.now()), 0s);
  EXPECT_TRUE(deadline.passed(clock.now()));
  EXPECT_EQ(deadline.earlier(Deadline::never()), deadline);
}

}  // namespace
}  // namespace caisson
