#include "capabilities/pubsub/make_kafka_broker.hpp"

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

}  // namespace caisson::pubsub
