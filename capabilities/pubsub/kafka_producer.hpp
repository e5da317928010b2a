#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bus/task.hpp"
#include "capabilities/pubsub/kafka_client.hpp"
#include "capabilities/pubsub/kafka_options.hpp"
#include "capabilities/pubsub/operation.hpp"

namespace caisson::pubsub {

/// The producer of one component: idempotent, acknowledged by all in-sync replicas. What librdkafka tries
/// again by itself is neither doubled nor put out of order.
///
/// Used on the event loop's thread; a thread of its own serves the delivery reports. When it is destroyed,
/// what waits is still sent for a moment, and nobody is told.
class KafkaProducer {
 public:
  struct Events {
    /// What hinders it, or nothing.
    std::function<void(std::optional<std::string>)> health_changed;
    /// It can only be made anew.
    std::function<void()> failed;
  };

  static Result<std::unique_ptr<KafkaProducer>> open(EventLoop& loop, KafkaThreads& threads,
                                                     const KafkaOptions& options, Events events);
  ~KafkaProducer();

  /// As Broker::publish. kResourceExhausted when too much waits for the broker.
  Task<Result<void>> publish(std::string topic, Message message, Deadline deadline);

 private:
  class Thread;
  struct Publication;

  KafkaProducer(EventLoop& loop, const KafkaOptions& options) : loop_(loop), options_(options) {}
  Result<void> produce(const std::string& topic, const Message& message,
                       const std::shared_ptr<Publication>& publication);

  EventLoop& loop_;
  const KafkaOptions& options_;
  std::shared_ptr<LoopGate> gate_;
  std::shared_ptr<Thread> thread_;
};

}  // namespace caisson::pubsub
