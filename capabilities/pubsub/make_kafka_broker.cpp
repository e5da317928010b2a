#include "capabilities/pubsub/make_kafka_broker.hpp"

#include <chrono>

#include "capabilities/pubsub/capability.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/kafka_broker.hpp"

namespace caisson::pubsub {

namespace {

Result<std::shared_ptr<Broker>> make_kafka(KafkaThreads& threads, sdk::Context& context,
                                           const sdk::ComponentSpec& spec) {
  ASSIGN(KafkaOptions options, KafkaOptions::parse(spec));
  KafkaBroker::Events events;
  events.changed = [&context] { context.status_changed(); };
  events.recreated = context.counters().counter("pubsub_clients_recreated_total", component_label(spec.name));
  ASSIGN(std::shared_ptr<Broker> broker,
         KafkaBroker::open(context.loop(), threads, std::move(options), std::move(events)));
  return broker;
}

}  // namespace

BrokerType kafka_broker_type(KafkaThreads& threads) {
  struct Make {
    static Task<Result<std::shared_ptr<Broker>>> run(KafkaThreads& threads, sdk::Context& context,
                                                     const sdk::ComponentSpec& spec) {
      co_return make_kafka(threads, context, spec);
    }
  };
  return {"pubsub.kafka", [&threads](sdk::Context& context, const sdk::ComponentSpec& spec, const WallClock&,
                                     Deadline) { return Make::run(threads, context, spec); }};
}

std::unique_ptr<sdk::Capability> make_kafka_pubsub(sdk::Context& context, KafkaThreads& threads) {
  std::vector<BrokerType> more{kafka_broker_type(threads)};
  return std::make_unique<PubsubCapability>(context, std::chrono::system_clock::now, std::move(more));
}

}  // namespace caisson::pubsub
