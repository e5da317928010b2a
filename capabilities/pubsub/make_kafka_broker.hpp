#pragma once

#include <memory>

#include "capabilities/pubsub/kafka_client.hpp"
#include "capabilities/pubsub/make_broker.hpp"
#include "sdk/capability.hpp"

namespace caisson::pubsub {

/// `pubsub.kafka`. The threads outlive every component.
BrokerType kafka_broker_type(KafkaThreads& threads);

/// The capability with that type beside the built-in ones. The threads outlive it.
std::unique_ptr<sdk::Capability> make_kafka_pubsub(sdk::Context& context, KafkaThreads& threads);

}  // namespace caisson::pubsub
