#include <malloc.h>

#include "capabilities/pubsub/make_kafka_broker.hpp"

int main(int argc, char** argv) {
  using namespace caisson;
  // librdkafka has several threads for each client; each would get an arena of its own.
  ::mallopt(M_ARENA_MAX, 2);
  pubsub::KafkaThreads threads;
  return sdk::run(argc, argv, "pubsub",
                  [&threads](sdk::Context& context) { return pubsub::make_kafka_pubsub(context, threads); });
}
