#include "capabilities/pubsub/memory_broker.hpp"

#include <fmt/format.h>

#include <deque>

#include "bus/task_scope.hpp"

namespace caisson::pubsub {

/// The subscribers that share the messages of one topic.
struct MemoryBroker::Group {
  std::deque<Delivery> queue;
  WaitQueue changed;
  std::size_t members = 0;
};

/// One subscriber: takes from its group's queue, one message at a time or as many as it asked for.
class MemoryBroker::Member final : public Subscription {
 public:
  Member(MemoryBroker& broker, std::pair<std::string, std::string> key, std::shared_ptr<Group> group, Handler handler,
         std::size_t at_once)
      : broker_(broker),
        key_(std::move(key)),
        group_(std::move(group)),
        handler_(std::move(handler)),
        scope_(broker.loop_) {
    ++group_->members;
    for (std::size_t i = 0; i < at_once; ++i) scope_.spawn(work());
  }

  ~Member() override {
    if (--group_->members == 0) broker_.groups_.erase(key_);
  }

  Task<void> drain(Deadline deadline) override {
    draining_ = true;
    group_->changed.wake_all();
    co_await scope_.join(deadline);
  }

 private:
  Task<void> work() {
    while (!draining_) {
      if (group_->queue.empty()) {
        co_await group_->changed.wait(broker_.loop_, Deadline::never());
        continue;
      }
      Delivery delivery = std::move(group_->queue.front());
      group_->queue.pop_front();
      const std::string topic = delivery.topic;
      const Verdict verdict = co_await handler_(std::move(delivery));
      if (verdict != Verdict::kAcknowledge) {
        broker_.log_limit_.log(
            LogLevel::kWarning,
            fmt::format("component '{}': a message of topic '{}' failed and is lost; pubsub.in-memory "
                        "does not redeliver",
                        broker_.name_, topic));
      }
      // The others of the group take their turn, and a handler that never waits does not keep the loop.
      co_await broker_.loop_.sleep_until(Deadline::at(broker_.loop_.now()));
    }
  }

  MemoryBroker& broker_;
  std::pair<std::string, std::string> key_;
  std::shared_ptr<Group> group_;
  Handler handler_;
  bool draining_ = false;
  TaskScope scope_;
};

namespace {

/// A pattern ends in '*' and matches what begins like it.
bool matches(std::string_view pattern, std::string_view topic) {
  if (!pattern.ends_with('*')) return pattern == topic;
  return topic.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

MemoryBroker::MemoryBroker(EventLoop& loop, std::string name) : loop_(loop), name_(std::move(name)) {}

MemoryBroker::~MemoryBroker() = default;

Task<Result<void>> MemoryBroker::publish(std::string topic, Message message, Deadline) {
  std::vector<Group*> takers;
  for (const auto& [key, group] : groups_) {
    if (!matches(key.first, topic)) continue;
    if (group->queue.size() >= kQueueLimit) {
      co_return Error{Errc::kResourceExhausted,
                      fmt::format("{} messages of topic '{}' wait for group '{}'", kQueueLimit, topic, key.second)};
    }
    takers.push_back(group.get());
  }
  for (Group* const group : takers) {
    group->queue.push_back(Delivery{topic, message, 1});
    group->changed.wake_all();  // one of them may be about to be destroyed
  }
  co_return ok();
}

Task<Result<std::unique_ptr<Subscription>>> MemoryBroker::subscribe(SubscribeOptions options, Handler handler,
                                                                    Deadline) {
  std::pair<std::string, std::string> key(options.topic, options.group);
  std::shared_ptr<Group>& group = groups_[key];
  if (group == nullptr) group = std::make_shared<Group>();
  std::unique_ptr<Subscription> member =
      std::make_unique<Member>(*this, std::move(key), group, std::move(handler), options.at_once);
  co_return Result<std::unique_ptr<Subscription>>(std::move(member));
}

}  // namespace caisson::pubsub
