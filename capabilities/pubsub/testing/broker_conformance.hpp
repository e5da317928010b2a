#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/testing/broker_fixture.hpp"

namespace caisson::pubsub::testing {

/// The redelivery interval that every backend is opened with; and at most this many handlers at once.
constexpr Nanos kRedeliverInterval = std::chrono::seconds(15);
constexpr std::size_t kConcurrency = 4;

/// One backend as the suite sees it.
struct Backend {
  std::string name;
  std::function<std::shared_ptr<Broker>(EventLoop&, const std::string& directory)> open;
};

inline void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }

/// What every broker owes the capability; each backend is one instantiation below. What a backend
/// cannot do, its features say.
class BrokerConformanceTest : public ::testing::TestWithParam<Backend> {
 protected:
  BrokerConformanceTest() : loop_(clock_), broker_(GetParam().open(loop_, directory_.path())) {}

  /// A topic or group of this test alone: backends may share a server.
  std::string name(const std::string& of) const { return unique_ + of; }

  Result<void> publish(const std::string& topic, const std::string& data, MessageMetadata metadata = {}) {
    return caisson::testing::run(loop_,
                                 broker_->publish(name(topic), Message{data, std::move(metadata)}, Deadline::never()));
  }

  void subscribe(Subscriber& subscriber, const std::string& topic, const std::string& group) {
    SubscribeOptions options{name(topic), name(group), {}};
    auto subscription = caisson::testing::run(
        loop_, broker_->subscribe(std::move(options), subscriber.handler(loop_), Deadline::never()));
    ASSERT_TRUE(subscription);
    subscriber.subscription = *std::move(subscription);
  }

  void wait_for(const Subscriber& subscriber, std::size_t count) {
    caisson::testing::run_until(loop_, [&] { return subscriber.received.size() >= count; });
  }
  /// Everything that is under way without time passing.
  void settle() {
    for (int i = 0; i < 5; ++i) {
      [[maybe_unused]] const auto flushed = publish("settle", "");
      while (loop_.turn(Nanos(0))) {
      }
    }
  }

  const std::string unique_ = fmt::format("{}-{}-", ::getpid(), next_number());
  caisson::testing::FakeClock clock_;
  EventLoop loop_;
  TemporaryDirectory directory_;
  std::shared_ptr<Broker> broker_;

 private:
  static int next_number() {
    static int number = 0;
    return ++number;
  }
};

}  // namespace caisson::pubsub::testing
