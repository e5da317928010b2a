#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bus/testing/run.hpp"
#include "capabilities/pubsub/redis_broker.hpp"
#include "capabilities/pubsub/testing/broker_fixture.hpp"
#include "sdk/redis/client.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::pubsub::testing {

/// One runtime's broker on a loop of its own: as long as nobody turns it, it is a process that hangs.
struct RedisPeer {
  SystemClock clock;
  EventLoop loop{clock};
  int status_changes = 0;
  std::shared_ptr<RedisBroker> broker;

  void open(RedisBrokerOptions options, std::string instance, WallClock wall_clock = std::chrono::system_clock::now) {
    auto opening = RedisBroker::open(
        loop, std::move(options), ConsumerInstance{std::move(instance), {}}, std::move(wall_clock),
        [this] { ++status_changes; }, Deadline::never());
    auto opened = caisson::testing::run(loop, std::move(opening));
    ASSERT_TRUE(opened) << opened.error().message;
    broker = *std::move(opened);
  }
  Result<void> try_subscribe(Subscriber& subscriber, const std::string& topic, const std::string& group = "shop") {
    auto begun = caisson::testing::run(
        loop, broker->subscribe(SubscribeOptions{topic, group, {}}, subscriber.handler(loop), Deadline::never()));
    if (!begun) return std::move(begun).error();
    subscriber.subscription = *std::move(begun);
    return ok();
  }
  void subscribe(Subscriber& subscriber, const std::string& topic, const std::string& group = "shop") {
    const auto begun = try_subscribe(subscriber, topic, group);
    ASSERT_TRUE(begun) << begun.error().message;
  }
  Result<void> publish(const std::string& topic, std::string data) {
    return caisson::testing::run(loop, broker->publish(topic, Message{std::move(data), {}}, Deadline::never()));
  }
};

}  // namespace caisson::pubsub::testing
