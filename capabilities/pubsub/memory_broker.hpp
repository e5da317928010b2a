#pragma once

#include <list>
#include <map>
#include <string>
#include <utility>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "capabilities/pubsub/broker.hpp"

namespace caisson::pubsub {

/// `pubsub.in-memory`: for tests. Nothing is stored: a topic without a subscriber loses its
/// messages, a handler's failure is only logged, and everything is gone with the process. One
/// message at a time per subscriber, unless it asks for more.
class MemoryBroker final : public Broker {
 public:
  /// Messages that wait for one group; more are an error to the publisher.
  static constexpr std::size_t kQueueLimit = 10'000;

  MemoryBroker(EventLoop& loop, std::string name);
  ~MemoryBroker() override;

  [[nodiscard]] Features features() const override { return {false, false, false, true}; }
  Task<Result<void>> publish(std::string topic, Message message, Deadline deadline) override;
  Task<Result<std::unique_ptr<Subscription>>> subscribe(SubscribeOptions options, Handler handler,
                                                        Deadline deadline) override;

 private:
  class Member;
  struct Group;

  EventLoop& loop_;
  std::string name_;
  LogLimit log_limit_;
  /// By topic (or pattern) and group name.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Group>> groups_;
};

}  // namespace caisson::pubsub
