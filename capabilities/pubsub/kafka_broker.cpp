#include "capabilities/pubsub/kafka_broker.hpp"

#include <fmt/format.h>

#include <utility>

namespace caisson::pubsub {

namespace {

constexpr Nanos kProducerPause = std::chrono::seconds(1);

}  // namespace

KafkaBroker::KafkaBroker(EventLoop& loop, KafkaThreads& threads, KafkaOptions options, Events events)
    : loop_(loop),
      threads_(threads),
      options_(std::make_shared<const KafkaOptions>(std::move(options))),
      events_(std::move(events)),
      troubled_since_(loop.now()),
      producer_timer_(loop, [this] {
        if (!open_producer()) producer_timer_.start_after(kProducerPause);
      }) {}

KafkaBroker::~KafkaBroker() = default;

Result<std::shared_ptr<KafkaBroker>> KafkaBroker::open(EventLoop& loop, KafkaThreads& threads, KafkaOptions options,
                                                       Events events) {
  for (const std::string& key : options.without_effect) {
    log(LogLevel::kWarning, fmt::format("component '{}': metadata '{}' has no effect here", options.component, key));
  }
  std::shared_ptr<KafkaBroker> broker(new KafkaBroker(loop, threads, std::move(options), std::move(events)));
  TRY(broker->open_producer());
  return broker;
}

Result<void> KafkaBroker::open_producer() {
  KafkaProducer::Events events;
  events.health_changed = [this](std::optional<std::string> trouble) {
    if (trouble && !trouble_) troubled_since_ = loop_.now();
    trouble_ = std::move(trouble);
    events_.changed();
  };
  events.failed = [this] {
    events_.recreated.add();
    producer_timer_.start(Deadline::at(loop_.now()));
  };
  ASSIGN(producer_, KafkaProducer::open(loop_, threads_, *options_, std::move(events)));
  return ok();
}

std::optional<std::string> KafkaBroker::down_reason() const {
  if (trouble_) return trouble_;
  for (const auto& [name, group] : groups_) {
    if (group->trouble()) return group->trouble();
  }
  return std::nullopt;
}

Task<Result<void>> KafkaBroker::publish(std::string topic, Message message, Deadline deadline) {
  if (trouble_ && loop_.now() - troubled_since_ >= kPatience) {
    co_return Error{Errc::kUnavailable, *trouble_};
  }
  auto publishing = producer_->publish(std::move(topic), std::move(message), deadline);
  co_return co_await std::move(publishing);
}

Task<Result<std::unique_ptr<Subscription>>> KafkaBroker::subscribe(SubscribeOptions options, Handler handler,
                                                                   Deadline) {
  const std::string& name = options_->group.empty() ? options.group : options_->group;
  std::unique_ptr<KafkaGroup>& group = groups_[name];
  if (group == nullptr) {
    KafkaGroup::Events events;
    events.changed = [this] { events_.changed(); };
    events.recreated = [this] { events_.recreated.add(); };
    group = std::make_unique<KafkaGroup>(loop_, threads_, options_, name, std::move(events));
  }
  std::unique_ptr<Subscription> subscription = group->subscribe(options.topic, std::move(handler), options.at_once);
  co_return Result<std::unique_ptr<Subscription>>(std::move(subscription));
}

}  // namespace caisson::pubsub
