#include <malloc.h>

#include "capabilities/pubsub/capability.hpp"
#include "capabilities/pubsub/make_kafka_broker.hpp"

int main(int argc, char** argv) {
  using namespace caisson;
  // librdkafka has several threads for each client; each would get an arena of its own.
  ::mallopt(M_ARENA_MAX, 2);
  pubsub::KafkaThreads threads;
  return sdk::run(argc, argv, "pubsub", [&threads](sdk::Context& context) {
    std::vector<pubsub::BrokerType> more{pubsub::kafka_broker_type(threads)};
    return std::make_unique<pubsub::PubsubCapability>(context, std::chrono::system_clock::now, std::move(more));
  });
}
