#include "capabilities/pubsub/testing/subscriber_fixture.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::pubsub::testing {
namespace {

std::vector<std::pair<std::string, std::string>> redis_metadata() {
  static redis::testing::RedisServer server;
  return {{"redisHost", "127.0.0.1:" + std::to_string(server.port())}, {"redeliverInterval", "100ms"}};
}

INSTANTIATE_TEST_SUITE_P(OnRedis, SubscriberConformanceTest,
                         ::testing::Values(ComponentKind{"Redis", "pubsub.redis", redis_metadata}),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(OnRedis, RedeliveryConformanceTest,
                         ::testing::Values(ComponentKind{"Redis", "pubsub.redis", redis_metadata}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
