#include "capabilities/pubsub/redis_broker.hpp"
#include "capabilities/pubsub/testing/broker_conformance.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::pubsub::testing {
namespace {

using namespace std::chrono_literals;

/// One server for all tests, emptied for each. Its idea of time is not the test's: the connection is
/// never given up for being silent.
std::shared_ptr<Broker> open_redis(EventLoop& loop, const std::string&) {
  static redis::testing::RedisServer server;
  RedisBrokerOptions options;
  options.component = "pubsub";
  options.server = server.settings();
  options.server.read_timeout = 24h;
  options.redeliver_interval = kRedeliverInterval;
  options.concurrency = kConcurrency;
  EXPECT_EQ(server.command({"FLUSHALL"}).text, "OK");
  auto opening = RedisBroker::open(
      loop, options, ConsumerInstance{"us", {}}, std::chrono::system_clock::now, [] {}, Deadline::never());
  auto broker = caisson::testing::run(loop, std::move(opening));
  EXPECT_TRUE(broker) << (broker ? "" : broker.error().message);
  return broker ? *broker : nullptr;
}

INSTANTIATE_TEST_SUITE_P(OnRedis, BrokerConformanceTest, ::testing::Values(Backend{"Redis", open_redis}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
