#include "capabilities/pubsub/kafka_consumer.hpp"

#include <utility>

#include "capabilities/pubsub/kafka_consumer_thread.hpp"

namespace caisson::pubsub {

KafkaConsumer::KafkaConsumer(EventLoop& loop, KafkaThreads& threads, std::shared_ptr<const KafkaOptions> options,
                             std::string group, Events events)
    : gate_(std::make_shared<LoopGate>(loop)),
      thread_(std::make_shared<Thread>(gate_, std::move(options), std::move(group), std::move(events))) {
  threads.start([thread = thread_] { thread->run(); });
}

KafkaConsumer::~KafkaConsumer() {
  gate_->close();
  thread_->stop();
}

void KafkaConsumer::set_topics(std::vector<std::string> topics) { thread_->set_topics(std::move(topics)); }

void KafkaConsumer::wake() { thread_->wake(); }

void KafkaConsumer::commit_now(std::function<void()> done) { thread_->commit_now(std::move(done)); }

}  // namespace caisson::pubsub
