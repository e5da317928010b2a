#include "net/endpoint.hpp"

#include <gtest/gtest.h>

#include "bus/testing/run.hpp"

namespace caisson::net {
namespace {

using caisson::testing::run;

TEST(EndpointTest, TakesAddressesInNumbersAndLocalhost) {
  EXPECT_EQ(make_endpoint("127.0.0.1", 80)->text, "127.0.0.1:80");
  EXPECT_EQ(make_endpoint("localhost", 80)->text, "localhost:80");
  EXPECT_EQ(make_endpoint("[::1]", 80)->text, "[::1]:80");
  EXPECT_EQ(make_endpoint("::1", 80)->text, "[::1]:80");
  EXPECT_FALSE(make_endpoint("app.example", 80));
  EXPECT_FALSE(make_endpoint("", 80));
}

TEST(EndpointTest, ANameBecomesItsAddressesAndKeepsItsText) {
  SystemClock clock;
  EventLoop loop(clock);
  const auto found = run(loop, find_endpoints(loop, "localhost", 80, loop.deadline_in(std::chrono::seconds(10))));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->front().text, "localhost:80");
  EXPECT_EQ(found->front(), *make_endpoint("127.0.0.1", 80));
}

TEST(EndpointTest, AnAddressInNumbersIsNotLookedUp) {
  SystemClock clock;
  EventLoop loop(clock);
  const auto found = run(loop, find_endpoints(loop, "::1", 80, Deadline::at(loop.now())));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().text, "[::1]:80");
}

}  // namespace
}  // namespace caisson::net
