#pragma once

#include "capabilities/pubsub/kafka_client.hpp"
#include "capabilities/pubsub/make_broker.hpp"

namespace caisson::pubsub {

/// `pubsub.kafka`. The threads outlive every component.
BrokerType kafka_broker_type(KafkaThreads& threads);

}  // namespace caisson::pubsub
