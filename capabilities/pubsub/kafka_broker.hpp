#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "bus/event_loop.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/kafka_group.hpp"
#include "capabilities/pubsub/kafka_options.hpp"
#include "capabilities/pubsub/kafka_producer.hpp"
#include "sdk/counters.hpp"

namespace caisson::pubsub {

/// `pubsub.kafka` on librdkafka: one producer, and one consumer for each group. It is there at once,
/// whether a broker can be reached or not; down_reason() says what hinders it, now.
class KafkaBroker final : public Broker {
 public:
  struct Events {
    /// What the component says about itself changed.
    std::function<void()> changed = [] {};
    sdk::Counter recreated;  // clients that were given up and made anew
  };
  /// With no broker in reach for this long a publish is refused at once, instead of waiting for one.
  static constexpr Nanos kPatience = std::chrono::seconds(10);

  /// kInvalidArgument when librdkafka does not take the options.
  static Result<std::shared_ptr<KafkaBroker>> open(EventLoop& loop, KafkaThreads& threads, KafkaOptions options,
                                                   Events events);
  ~KafkaBroker() override;

  [[nodiscard]] Features features() const override { return {true, true, false, false}; }
  [[nodiscard]] std::optional<std::string> down_reason() const override;
  Task<Result<void>> publish(std::string topic, Message message, Deadline deadline) override;
  Task<Result<std::unique_ptr<Subscription>>> subscribe(SubscribeOptions options, Handler handler,
                                                        Deadline deadline) override;

 private:
  KafkaBroker(EventLoop& loop, KafkaThreads& threads, KafkaOptions options, Events events);
  Result<void> open_producer();

  EventLoop& loop_;
  KafkaThreads& threads_;
  const std::shared_ptr<const KafkaOptions> options_;
  Events events_;
  std::optional<std::string> trouble_ = "connecting";
  Nanos troubled_since_;
  std::unique_ptr<KafkaProducer> producer_;
  Timer producer_timer_;
  std::map<std::string, std::unique_ptr<KafkaGroup>> groups_;
};

}  // namespace caisson::pubsub
