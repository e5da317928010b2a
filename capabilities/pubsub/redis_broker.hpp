#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/redis_consumer.hpp"
#include "capabilities/pubsub/redis_instance.hpp"
#include "capabilities/pubsub/redis_options.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::pubsub {

/// `pubsub.redis`: topics are Redis Streams, in Dapr's layout, so that daprd and Caisson can share
/// them. A publish is as durable as the server makes an XADD it has answered.
///
/// Stricter than daprd: what a handler did not take stays pending at the server and comes again.
/// Connections: one for commands, one that reads for each topic and group subscribed to.
class RedisBroker final : public Broker {
 public:
  /// Topics times groups; each has a connection.
  static constexpr std::size_t kMaxConsumers = 500;

  /// Connects; fails when the server cannot be reached by the deadline. `changed` is called when
  /// down_reason() may have changed; it must be callable for as long as the broker lives.
  static Task<Result<std::shared_ptr<RedisBroker>>> open(EventLoop& loop, RedisBrokerOptions options,
                                                         ConsumerInstance instance, WallClock wall_clock,
                                                         std::function<void()> changed, Deadline deadline);
  ~RedisBroker() override;

  [[nodiscard]] Features features() const override { return {true, true, false, false}; }
  [[nodiscard]] std::optional<std::string> down_reason() const override;
  Task<Result<void>> publish(std::string topic, Message message, Deadline deadline) override;
  Task<Result<std::unique_ptr<Subscription>>> subscribe(SubscribeOptions options, Handler handler,
                                                        Deadline deadline) override;

 private:
  using Key = std::pair<std::string, std::string>;  // topic, group

  RedisBroker(EventLoop& loop, RedisBrokerOptions options, ConsumerInstance instance, WallClock wall_clock,
              std::function<void()> changed);

  [[nodiscard]] StreamTrim trim() const;
  void remove_if_deserted(Key key);
  Task<void> leave_behind(std::vector<redis::Command> commands);

  EventLoop& loop_;
  RedisBrokerOptions options_;
  ConsumerInstance instance_;
  WallClock wall_clock_;
  LogLimit log_limit_;
  redis::Client commands_;
  RedisConsumer::Shared shared_;
  std::map<Key, std::unique_ptr<RedisConsumer>> consumers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::pubsub
