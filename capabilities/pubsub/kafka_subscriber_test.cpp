#include "capabilities/pubsub/make_kafka_broker.hpp"
#include "capabilities/pubsub/testing/kafka_server.hpp"
#include "capabilities/pubsub/testing/subscriber_fixture.hpp"

namespace caisson::pubsub::testing {
namespace {

std::vector<std::pair<std::string, std::string>> kafka_metadata() {
  return {{"brokers", KafkaServer::shared().address()},
          {"authType", "none"},
          {"initialOffset", "oldest"},
          {"backOffDuration", "100ms"},
          {"heartbeatInterval", "500ms"}};
}

std::vector<BrokerType> kafka_type() {
  static KafkaThreads threads;
  return {kafka_broker_type(threads)};
}

INSTANTIATE_TEST_SUITE_P(OnKafka, SubscriberConformanceTest,
                         ::testing::Values(ComponentKind{"Kafka", "pubsub.kafka", kafka_metadata, true, kafka_type}),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(OnKafka, RedeliveryConformanceTest,
                         ::testing::Values(ComponentKind{"Kafka", "pubsub.kafka", kafka_metadata, true, kafka_type}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
