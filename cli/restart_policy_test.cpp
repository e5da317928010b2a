#include "cli/restart_policy.hpp"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RestartPolicyTest, AFirstDeathIsAnsweredAtOnce) {
  RestartPolicy policy;

  EXPECT_EQ(policy.died(seconds(100), seconds(101)), Nanos::zero());
}

TEST(RestartPolicyTest, EveryFurtherDeathDoublesTheWaitFromTenMilliseconds) {
  RestartPolicy policy;
  const Nanos at = seconds(100);

  (void)policy.died(at, at);

  EXPECT_EQ(policy.died(at, at), milliseconds(10));
  EXPECT_EQ(policy.died(at, at), milliseconds(20));
  EXPECT_EQ(policy.died(at, at), milliseconds(40));
  EXPECT_EQ(policy.died(at, at), milliseconds(80));
  EXPECT_FALSE(policy.crash_looping());
}

TEST(RestartPolicyTest, TheWaitOfASlowCrasherNeverExceedsOneSecond) {
  RestartPolicy policy;
  Nanos at = seconds(100);
  Nanos wait{};

  for (int death = 0; death < 40; ++death) {
    wait = policy.died(at, at + seconds(4));
    at += seconds(4);
  }

  EXPECT_EQ(wait, seconds(1));
  EXPECT_FALSE(policy.crash_looping());
}

TEST(RestartPolicyTest, SixDeathsInTenSecondsAreACrashLoopThatIsRetriedEveryFiveSeconds) {
  RestartPolicy policy;
  const Nanos at = seconds(100);
  for (int death = 0; death < 5; ++death) (void)policy.died(at, at);

  EXPECT_EQ(policy.died(at, at), seconds(5));
  EXPECT_TRUE(policy.crash_looping());
  EXPECT_EQ(policy.died(at + seconds(5), at + seconds(5)), seconds(5));
  EXPECT_EQ(policy.died(at + seconds(60), at + seconds(61)), seconds(5));
}

TEST(RestartPolicyTest, ARunOfTenSecondsEndsACrashLoop) {
  RestartPolicy policy;
  const Nanos at = seconds(100);
  for (int death = 0; death < 6; ++death) (void)policy.died(at, at);
  ASSERT_TRUE(policy.crash_looping());

  const Nanos wait = policy.died(at + seconds(5), at + seconds(15));

  EXPECT_EQ(wait, Nanos::zero());
  EXPECT_FALSE(policy.crash_looping());
}

}  // namespace
}  // namespace caisson::cli
