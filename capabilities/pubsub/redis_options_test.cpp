#include "capabilities/pubsub/redis_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

Result<RedisBrokerOptions> parse(std::vector<std::pair<std::string, std::string>> items) {
  items.emplace_back("redisHost", "localhost:6379");
  return RedisBrokerOptions::parse({"orders", "pubsub.redis", "v1", sdk::Metadata(std::move(items))});
}

TEST(RedisOptionsTest, DefaultsAreDaprs) {
  const auto options = parse({});

  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->component, "orders");
  EXPECT_EQ(options->redeliver_interval, Nanos(15s));
  EXPECT_EQ(options->processing_timeout, Nanos(60s));
  EXPECT_EQ(options->queue_depth, 100U);
  EXPECT_EQ(options->concurrency, 10U);
  EXPECT_EQ(options->max_length, 0);
  EXPECT_EQ(options->stream_ttl, Nanos::zero());
  EXPECT_FALSE(options->acknowledge_on_error);
}

TEST(RedisOptionsTest, EveryKeyIsReadWhateverItsCase) {
  const auto options = parse({{"RedeliverInterval", "1m"},
                              {"processingtimeout", "500"},
                              {"queueDepth", "7"},
                              {"concurrency", "3"},
                              {"maxLenApprox", "1000"},
                              {"streamTTL", "2h"},
                              {"caisson.ackOnError", "true"}});

  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->redeliver_interval, Nanos(1min));
  EXPECT_EQ(options->processing_timeout, Nanos(500ms));
  EXPECT_EQ(options->queue_depth, 7U);
  EXPECT_EQ(options->concurrency, 3U);
  EXPECT_EQ(options->max_length, 1000);
  EXPECT_EQ(options->stream_ttl, Nanos(2h));
  EXPECT_TRUE(options->acknowledge_on_error);
}

TEST(RedisOptionsTest, WhatIsWrongIsNamed) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{{"redeliverInterval", "soon"},
                                                                                   {"redeliverInterval", "-1s"},
                                                                                   {"processingTimeout", "1 hour"},
                                                                                   {"processingTimeout", "-5"},
                                                                                   {"queueDepth", "0"},
                                                                                   {"queueDepth", "many"},
                                                                                   {"concurrency", "0"},
                                                                                   {"concurrency", "1.5"},
                                                                                   {"maxLenApprox", "-1"},
                                                                                   {"streamTTL", "-1h"},
                                                                                   {"readTimeout", "x"}}) {
    const auto options = parse({{key, value}});
    ASSERT_FALSE(options) << key << "=" << value;
    EXPECT_EQ(options.error().code, Errc::kInvalidArgument);
    EXPECT_THAT(options.error().message, HasSubstr(key));
  }
}

TEST(RedisOptionsTest, NumbersBeyondUseAreCutToWhatServes) {
  const auto options = parse({{"queueDepth", "1000000"}, {"concurrency", "1000000"}});

  ASSERT_TRUE(options);
  EXPECT_EQ(options->queue_depth, 10'000U);
  EXPECT_EQ(options->concurrency, 1'000U);
}

TEST(RedisOptionsTest, ALeaseIsShortWhateverTheProcessingTimeout) {
  RedisBrokerOptions options;
  EXPECT_EQ(options.lease(), Nanos(6s));
  EXPECT_EQ(options.takeover_after(), Nanos(60s));

  options.processing_timeout = 2s;
  EXPECT_EQ(options.lease(), Nanos(2s));

  options.processing_timeout = 0s;  // Dapr: off
  EXPECT_EQ(options.lease(), Nanos(6s));
  EXPECT_EQ(options.takeover_after(), Nanos(60s));
}

TEST(RedisOptionsTest, TheServerIsAskedToWaitNoLongerThanTheReadTimeoutAndThreeSeconds) {
  RedisBrokerOptions options;
  options.server.read_timeout = 30s;
  EXPECT_EQ(options.block(), Nanos(3s));
  options.server.read_timeout = 1s;
  EXPECT_EQ(options.block(), Nanos(1s));
  options.server.read_timeout = 1ms;
  EXPECT_EQ(options.block(), Nanos(100ms));
}

}  // namespace
}  // namespace caisson::pubsub
