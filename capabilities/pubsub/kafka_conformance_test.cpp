#include "capabilities/pubsub/kafka_broker.hpp"
#include "capabilities/pubsub/testing/broker_conformance.hpp"
#include "capabilities/pubsub/testing/kafka_server.hpp"

namespace caisson::pubsub::testing {
namespace {

/// Clients end beside everything else; these go with the last test.
KafkaThreads& threads() {
  static KafkaThreads all;
  return all;
}

std::shared_ptr<Broker> open_kafka(EventLoop& loop, const std::string&) {
  const auto options = kafka_options({{"initialOffset", "oldest"},
                                      {"concurrency", std::to_string(kConcurrency)},
                                      {"backOffDuration", "15s"},
                                      {"heartbeatInterval", "500ms"}});
  auto broker = KafkaBroker::open(loop, threads(), options, {});
  EXPECT_TRUE(broker) << (broker ? "" : broker.error().message);
  return broker ? *broker : nullptr;
}

INSTANTIATE_TEST_SUITE_P(Backends, BrokerConformanceTest, ::testing::Values(Backend{"Kafka", open_kafka}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
