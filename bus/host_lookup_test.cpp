#include "bus/host_lookup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"

namespace caisson {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(HostLookupTest, NumbersAreNoNames) {
  for (const char* const host : {"127.0.0.1", "::1", "[fd00::2]", "*"}) EXPECT_FALSE(is_host_name(host)) << host;
  for (const char* const host : {"localhost", "gateway-state", "state.local", "1.2.3", ""}) {
    EXPECT_TRUE(is_host_name(host)) << host;
  }
}

TEST(HostLookupTest, ANameBecomesItsAddresses) {
  const SystemClock clock;
  EventLoop loop(clock);

  const auto found = testing::run(loop, look_up_host(loop, "localhost", Deadline::never()));

  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(*found, Contains("127.0.0.1"));
  EXPECT_EQ(found->front(), "127.0.0.1");  // IPv4 first
}

TEST(HostLookupTest, AnUnknownNameIsUnavailableAndNamed) {
  const SystemClock clock;
  EventLoop loop(clock);

  // No resolver asks anybody for a name with an empty label.
  const auto found = testing::run(loop, look_up_host(loop, "no..such.host", Deadline::never()));

  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kUnavailable);
  EXPECT_THAT(found.error().message, HasSubstr("no..such.host"));
}

TEST(HostLookupTest, ALookupNobodyWaitsForHurtsNobody) {
  const SystemClock clock;
  auto loop = std::make_unique<EventLoop>(clock);
  {
    TaskScope scope(*loop);
    struct Keep {
      static Task<void> drop(Task<Result<std::vector<std::string>>> task) {
        [[maybe_unused]] const auto found = co_await std::move(task);
      }
    };
    scope.spawn(Keep::drop(look_up_host(*loop, "localhost", Deadline::never())));
  }
  loop.reset();

  EventLoop other(clock);
  EXPECT_TRUE(testing::run(other, look_up_host(other, "localhost", Deadline::never())));
}

TEST(HostLookupTest, ADeadlineThatHasPassedEndsTheWait) {
  const SystemClock clock;
  EventLoop loop(clock);

  const auto found = testing::run(loop, look_up_host(loop, "localhost", Deadline::at(Nanos(1))));

  // The answer may have come in the very turn in which the deadline was noticed.
  if (!found) {
    EXPECT_EQ(found.error().code, Errc::kDeadlineExceeded);
  }
}

}  // namespace
}  // namespace caisson
