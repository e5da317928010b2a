#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/pubsub/capability.hpp"
#include "dapr/proto/runtime/v1/appcallback.pb.h"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::pubsub::testing {

/// A component type as the suite over whole subscriptions sees it.
struct ComponentKind {
  std::string name;
  std::string type;
  /// Asked for when the component is made: a server may have to be started for it.
  std::function<std::vector<std::pair<std::string, std::string>>()> metadata;
  bool redelivers = true;
  std::function<std::vector<BrokerType>()> more = [] { return std::vector<BrokerType>(); };
};

inline void PrintTo(const ComponentKind& kind, std::ostream* out) { *out << kind.name; }

/// A call to an app, as it came.
struct SeenCall {
  std::string path;
  std::map<std::string, std::string> headers;
  std::string traceparent;
  std::string body;
};
struct CallAnswer {
  std::uint16_t status = 200;
  std::string body;
};

/// The whole capability with one component "pubsub", behind a gateway that the test plays; its apps answer as
/// `app` says.
class SubscriberFixture {
 public:
  explicit SubscriberFixture(const ComponentKind& kind)
      : kind_(kind),
        gateway_(
            loop_, "pubsub",
            [more = kind.more](sdk::Context& context) {
              return std::make_unique<PubsubCapability>(context, std::chrono::system_clock::now, more());
            },
            directory_.path().string()) {
    gateway_.on_call([this](Incoming call) { return answer(std::move(call)); });
    // Apps without a port, until one comes.
    for (const char* const app : {"publisher", "shop", "mute"}) gateway_.set_app(app, false, 0, "");
    config::Component component;
    component.name = "pubsub";
    component.type = kind.type;
    component.version = "v1";
    for (auto& [key, value] : kind.metadata()) component.metadata.push_back({key, value, {}, {}, {}});
    generation_.components.push_back(std::move(component));
    configure();
  }

  void configure() {
    EXPECT_EQ(gateway_.configure(generation_), "");
    gateway_.wait_for_status([](const sdk::Status& status) {
      return !status.components.empty() && status.components[0].state == sdk::ComponentState::kUp;
    });
  }

  /// A name of this test alone: kinds may share a server.
  std::string topic(const std::string& of) const { return unique_ + of; }

  void http_app_comes(const std::string& subscriptions, const std::string& app = "shop") {
    gateway_.set_app(app, true, 1, "http");
    gateway_.answer_query(app, "/dapr/subscribe", 200, subscriptions);
  }
  void grpc_app_comes(const dapr::proto::runtime::v1::ListTopicSubscriptionsResponse& list,
                      const std::string& app = "shop") {
    gateway_.set_app(app, true, 1, "grpc");
    gateway_.answer_query(app, "/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions", 0,
                          list.SerializeAsString());
  }

  /// As JSON, wrapped into an event.
  void publish(const std::string& topic, std::string data) {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/v1.0/publish/pubsub/" + topic;
    ask.headers = {{"content-type", "application/json"}};
    ask.body = std::move(data);
    ask.app = "publisher";
    const caisson::testing::Answer answer = gateway_.ask(ask);
    ASSERT_EQ(answer.status, 204) << answer.body << answer.error.message;
  }
  void wait_for_calls(std::size_t count) {
    caisson::testing::run_until(loop_, [&] { return calls_.size() >= count; });
  }
  void run_until(const std::function<bool()>& done) { caisson::testing::run_until(loop_, done); }

  const ComponentKind kind_;
  SystemClock clock_;
  EventLoop loop_{clock_};
  caisson::testing::TemporaryDirectory directory_;
  std::vector<SeenCall> calls_;
  std::function<CallAnswer(const SeenCall&)> app_ = [](const SeenCall&) { return CallAnswer{}; };
  config::Generation generation_;
  caisson::testing::FakeGateway gateway_;

 private:
  Task<void> answer(Incoming call) {
    SeenCall seen{std::string(text(call.head()->path())),
                  {},
                  std::string(text(call.head()->traceparent())),
                  std::string(call.head().payload())};
    for (const Field field : call.head().headers()) seen.headers.emplace(field.name, field.value);
    calls_.push_back(seen);
    const CallAnswer answer = app_(seen);
    return caisson::testing::reply_to(std::move(call), answer.status, {}, answer.body);
  }
  static int next_number() {
    static int number = 0;
    return ++number;
  }
  const std::string unique_ = fmt::format("{}-{}-", ::getpid(), next_number());
};

/// What subscribers of every protocol are owed over every broker; each component type is an instantiation.
class SubscriberConformanceTest : public ::testing::TestWithParam<ComponentKind>, public SubscriberFixture {
 protected:
  SubscriberConformanceTest() : SubscriberFixture(GetParam()) {}
};
/// And what those that act on a refusal owe besides.
class RedeliveryConformanceTest : public SubscriberConformanceTest {};

}  // namespace caisson::pubsub::testing
