#include "capabilities/pubsub/capability.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "bus/inproc_lane.hpp"
#include "capabilities/pubsub/testing/broker_fixture.hpp"
#include "config-cache/generation.hpp"
#include "sdk/process.hpp"
#include "sdk/status.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using namespace std::chrono_literals;

struct Answer {
  std::uint16_t status = 0;
  std::string body;
};

/// The whole capability behind a link whose other end the test holds, as a gateway with apps.
class CapabilityTest : public ::testing::Test {
 protected:
  CapabilityTest() : loop_(clock_) { start(); }

  void start() {
    process_ = std::make_unique<sdk::Process>(
        loop_, sdk::Process::Options{"pubsub", "pubsub-1", directory_.path(), {}, {}}, [](sdk::Context& context) {
          return std::make_unique<PubsubCapability>(context, std::chrono::system_clock::now);
        });
    ASSERT_TRUE(process_->start());
    auto [ours, theirs] = make_inproc_lanes(loop_);
    Link::Handlers handlers;
    handlers.control = [this](Frame frame) {
      if (frame->kind() == wire::Kind::Status) status_ = std::string(frame.payload());
    };
    handlers.serve = [this](Incoming call) { return answer_call(std::move(call)); };
    status_.clear();
    gateway_ = std::make_unique<Link>(loop_, std::move(ours), Side::kGateway, Link::Options{}, std::move(handlers));
    gateway_->start("gateway", "{}");
    process_->adopt(std::move(theirs));
    run_until(loop_, [this] { return !status_.empty(); });
  }
  /// As after SIGKILL: nothing is drained.
  void kill() {
    gateway_.reset();
    process_.reset();
  }

  /// The app's side of a delivery.
  Task<void> answer_call(Incoming call) {
    const std::string path(text(call.head()->path()));
    const std::string body(call.head().payload());
    ++running_;
    while (hold_) co_await released_.wait(loop_, Deadline::never());
    --running_;
    delivered_.emplace_back(path, body);
    Envelope reply;
    reply.status = 200;
    std::string verdict = "{}";
    if (!verdicts_.empty()) {
      verdict = verdicts_.front();
      verdicts_.erase(verdicts_.begin());
    }
    [[maybe_unused]] const auto sent = co_await call.reply(reply, Buffer(std::move(verdict)));
  }

  void send(const Envelope& envelope, std::string payload = {}) {
    Buffer buffer(std::move(payload));
    ASSERT_TRUE(gateway_->send(envelope, buffer));
  }
  void tell_app(const std::string& app, bool there, std::uint64_t incarnation) {
    const std::string number = std::to_string(incarnation);
    const std::string yes = there ? "true" : "false";
    const Field headers[] = {{"reachable", yes}, {"healthy", yes}, {"incarnation", number}, {"protocol", "http"}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = app;
    envelope.headers = headers;
    send(envelope);
  }
  void tell_answer(const std::string& app, std::uint64_t incarnation, std::uint16_t status, std::string body) {
    const std::string number = std::to_string(incarnation);
    const Field headers[] = {{"incarnation", number}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = app;
    envelope.target = "/dapr/subscribe";
    envelope.status = status;
    envelope.headers = headers;
    send(envelope, std::move(body));
  }
  void app_comes(const std::string& app, std::uint64_t incarnation, std::string subscriptions) {
    tell_app(app, true, incarnation);
    tell_answer(app, incarnation, 200, std::move(subscriptions));
  }

  config::Component component(const std::string& name, const std::string& type,
                              std::vector<std::pair<std::string, std::string>> metadata = {}) {
    config::Component document;
    document.name = name;
    document.type = type;
    document.version = "v1";
    for (auto& [key, value] : metadata) document.metadata.push_back({key, value, {}, {}, {}});
    return document;
  }
  void configure(std::vector<config::Component> components, std::vector<config::Subscription> subscriptions = {}) {
    config::Generation generation;
    generation.audience = "pubsub";
    generation.components = std::move(components);
    generation.subscriptions = std::move(subscriptions);
    configure(std::move(generation));
  }
  void configure(config::Generation generation) {
    generation.term = 1;
    generation.sequence = ++sequence_;
    Envelope envelope;
    envelope.kind = wire::Kind::Config;
    envelope.target = generation.audience;
    send(envelope, config::encode(generation));
  }
  void configure_sqlite() { configure({component("pubsub", "pubsub.sqlite", {{"redeliverInterval", "20ms"}})}); }

  Answer publish(const std::string& topic, std::string data, const std::string& app = "shop",
                 const std::string& pubsub = "pubsub") {
    const Field parameters[] = {{"pubsub", pubsub}, {"topic", topic}};
    const Field headers[] = {{"content-type", "application/json"}};
    Envelope request;
    request.route = topic.empty() ? 2 : 1;
    request.app = app;
    request.parameters = parameters;
    request.headers = headers;
    Buffer payload(std::move(data));
    auto reply = run(loop_, gateway_->call(request, payload, loop_.deadline_in(20s)));
    if (!reply) return {0, reply.error().message};
    return {reply->head->status(), std::string(reply->head.payload())};
  }
  void wait_for_deliveries(std::size_t count) {
    run_until(loop_, [&] { return delivered_.size() >= count; });
  }
  std::string data_of(std::size_t delivery) {
    const auto event = parse_json(delivered_.at(delivery).second);
    const JsonValue* const data = event ? event->find("data") : nullptr;
    return data == nullptr ? "?" : data->text;
  }
  sdk::Status status() {
    auto parsed = sdk::parse_status(status_);
    EXPECT_TRUE(parsed) << status_;
    return parsed ? *parsed : sdk::Status();
  }
  bool is_up(const std::string& name) {
    const sdk::Status now = status();
    return std::ranges::any_of(now.components, [&](const sdk::ComponentStatus& one) {
      return one.name == name && one.state == sdk::ComponentState::kUp;
    });
  }

  SystemClock clock_;
  EventLoop loop_;
  testing::TemporaryDirectory directory_;
  std::unique_ptr<sdk::Process> process_;
  std::unique_ptr<Link> gateway_;
  std::string status_;
  std::uint64_t sequence_ = 0;
  std::vector<std::pair<std::string, std::string>> delivered_;  // path, body
  std::vector<std::string> verdicts_;
  bool hold_ = false;
  std::size_t running_ = 0;
  WaitQueue released_;
};

constexpr const char* kOrders = R"([{"pubsubname":"pubsub","topic":"orders","route":"/orders"}])";

TEST_F(CapabilityTest, AnEventGoesFromOneAppToTheOther) {
  configure_sqlite();
  app_comes("shop", 1, "[]");
  app_comes("stock", 1, kOrders);

  const Answer answer = publish("orders", R"("hello")");

  EXPECT_EQ(answer.status, 204) << answer.body;
  wait_for_deliveries(1);
  EXPECT_EQ(delivered_[0].first, "/orders");
  EXPECT_EQ(data_of(0), "hello");
}

TEST_F(CapabilityTest, ADeclarativeSubscriptionIsServedOnceTheAppHasNothingElseToSay) {
  config::Subscription document;
  document.pubsub = "pubsub";
  document.topic = "orders";
  document.default_path = "/declared";
  document.scopes = {"shop"};
  configure({component("pubsub", "pubsub.in-memory")}, {document});
  tell_app("shop", true, 1);
  tell_answer("shop", 1, 404, {});
  run_until(loop_, [&] { return status_.find("DECLARATIVE") != std::string::npos; });
  run_until(loop_, [&] { return is_up("pubsub"); });

  ASSERT_EQ(publish("orders", "1").status, 204);

  wait_for_deliveries(1);
  EXPECT_EQ(delivered_[0].first, "/declared");
}

TEST_F(CapabilityTest, AnAppThatComesBackGetsWhatWasPublishedMeanwhileAndItsNewList) {
  configure_sqlite();
  app_comes("shop", 1, kOrders);
  ASSERT_EQ(publish("orders", R"("1")").status, 204);
  wait_for_deliveries(1);
  tell_app("shop", false, 1);
  for (int i = 2; i <= 20; ++i) ASSERT_EQ(publish("orders", '"' + std::to_string(i) + '"').status, 204);
  EXPECT_EQ(delivered_.size(), 1U);

  app_comes("shop", 2, R"([{"pubsubname":"pubsub","topic":"orders","route":"/moved"}])");

  wait_for_deliveries(20);
  EXPECT_EQ(delivered_.back().first, "/moved");
}

TEST_F(CapabilityTest, NothingAcknowledgedIsLostWhenTheProcessDiesInTheMiddle) {
  configure_sqlite();
  app_comes("shop", 1, kOrders);
  hold_ = true;
  std::set<std::string> published;
  for (int i = 0; i < 30; ++i) {
    published.insert(std::to_string(i));
    ASSERT_EQ(publish("orders", '"' + std::to_string(i) + '"').status, 204);
  }
  run_until(loop_, [&] { return running_ > 0; });

  kill();
  hold_ = false;
  running_ = 0;
  delivered_.clear();
  start();
  configure_sqlite();
  app_comes("shop", 1, kOrders);

  wait_for_deliveries(30);
  std::set<std::string> received;
  for (std::size_t i = 0; i < delivered_.size(); ++i) received.insert(data_of(i));
  EXPECT_EQ(received, published);
}

TEST_F(CapabilityTest, AMessageTheAppWantsAgainComesAgain) {
  configure_sqlite();
  app_comes("shop", 1, kOrders);
  verdicts_ = {R"({"status":"RETRY"})", R"({"status":"RETRY"})"};

  ASSERT_EQ(publish("orders", R"("x")").status, 204);

  wait_for_deliveries(3);
  EXPECT_EQ(delivered_[0].second, delivered_[2].second);
}

TEST_F(CapabilityTest, ADroppedMessageReachesTheSubscriberOfTheDeadLetterTopic) {
  configure_sqlite();
  app_comes("shop", 1,
            R"([{"pubsubname":"pubsub","topic":"orders","route":"/orders","deadLetterTopic":"dead"},
                {"pubsubname":"pubsub","topic":"dead","route":"/dead"}])");
  verdicts_ = {R"({"status":"DROP"})"};

  ASSERT_EQ(publish("orders", R"("x")").status, 204);

  wait_for_deliveries(2);
  EXPECT_EQ(delivered_[1].first, "/dead");
  EXPECT_EQ(delivered_[0].second, delivered_[1].second);
}

TEST_F(CapabilityTest, DrainingFinishesTheRunningDeliveryAndNothingIsDeliveredTwice) {
  configure({component("pubsub", "pubsub.sqlite", {{"concurrency", "1"}})});
  app_comes("shop", 1, kOrders);
  hold_ = true;
  for (int i = 0; i < 10; ++i) ASSERT_EQ(publish("orders", '"' + std::to_string(i) + '"').status, 204);
  run_until(loop_, [&] { return running_ == 1; });
  TaskScope scope(loop_);
  scope.spawn(process_->drain(loop_.deadline_in(20s)));
  hold_ = false;
  released_.wake_all();
  wait_for_deliveries(1);
  Envelope goodbye;
  goodbye.kind = wire::Kind::Goodbye;
  send(goodbye);
  run_until(loop_, [&] { return scope.empty(); });
  EXPECT_EQ(delivered_.size(), 1U);

  kill();
  start();
  configure_sqlite();
  app_comes("shop", 1, kOrders);

  wait_for_deliveries(10);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(data_of(i), std::to_string(i));
}

TEST_F(CapabilityTest, AChangedComponentIsReopenedAndLosesNothing) {
  configure_sqlite();
  app_comes("shop", 1, kOrders);
  ASSERT_EQ(publish("orders", R"("1")").status, 204);
  wait_for_deliveries(1);

  configure({component("pubsub", "pubsub.sqlite", {{"redeliverInterval", "30ms"}})});

  ASSERT_EQ(publish("orders", R"("2")").status, 204);
  wait_for_deliveries(2);
  EXPECT_EQ(data_of(1), "2");
}

TEST_F(CapabilityTest, PublishesThatCannotBeServedSayWhy) {
  tell_app("shop", true, 1);
  EXPECT_NE(publish("orders", "1").body.find("ERR_PUBSUB_NOT_CONFIGURED"), std::string::npos);
  configure({component("pubsub", "pubsub.in-memory", {{"publishingScopes", "shop=orders"}}),
             component("strange", "pubsub.strange"),
             component("broken", "pubsub.sqlite", {{"connectionString", directory_.path() + "/no/such/folder/x.db"}})});
  run_until(loop_, [&] { return is_up("pubsub"); });

  EXPECT_EQ(publish("orders", "1").status, 204);
  EXPECT_NE(publish("orders", "1", "shop", "unknown").body.find("ERR_PUBSUB_NOT_FOUND"), std::string::npos);
  EXPECT_NE(publish("", "1").body.find("ERR_TOPIC_NAME_EMPTY"), std::string::npos);
  EXPECT_NE(publish("", "1", "shop", "").body.find("ERR_PUBSUB_EMPTY"), std::string::npos);
  EXPECT_EQ(publish("secret", "1").status, 403);
  EXPECT_NE(publish("orders", "1", "shop", "strange").body.find("unknown type 'pubsub.strange'"), std::string::npos);
  EXPECT_NE(publish("orders", "1", "shop", "broken").body.find("no/such/folder"), std::string::npos);
}

TEST_F(CapabilityTest, AListThatCannotBeReadLeavesTheDeclarativeSubscriptions) {
  config::Subscription document;
  document.pubsub = "pubsub";
  document.topic = "orders";
  document.default_path = "/declared";
  configure({component("pubsub", "pubsub.sqlite")}, {document});

  app_comes("shop", 1, "<html>");

  ASSERT_EQ(publish("orders", "1").status, 204);
  wait_for_deliveries(1);
  EXPECT_EQ(delivered_[0].first, "/declared");
}

TEST_F(CapabilityTest, WhatHindersASubscriptionIsInTheStatusOfItsComponent) {
  configure({component("pubsub", "pubsub.sqlite", {{"subscriptionScopes", "shop="}})});

  app_comes("shop", 1, kOrders);

  run_until(loop_, [&] { return status_.find("not allowed to subscribe") != std::string::npos; });
}

/// One app's subscriptions to components here, elsewhere and nowhere.
constexpr const char* kNearFarNowhere = R"([{"pubsubname":"near","topic":"t","route":"/near"},
                                            {"pubsubname":"far","topic":"t","route":"/far"},
                                            {"pubsubname":"nowhere","topic":"t","route":"/nowhere"}])";

TEST_F(CapabilityTest, ACompartmentTakesOnlyTheSubscriptionsToWhatItHolds) {
  config::Generation generation;
  generation.audience = "pubsub/b";
  generation.components = {component("far", "pubsub.in-memory")};
  generation.elsewhere = {{"near", ""}};
  configure(generation);

  app_comes("shop", 1, kNearFarNowhere);

  run_until(loop_, [&] { return status_.find("/far") != std::string::npos; });
  EXPECT_EQ(status_.find("/near"), std::string::npos);
  EXPECT_EQ(status_.find("/nowhere"), std::string::npos);
}

TEST_F(CapabilityTest, TheCapabilityItselfSpeaksOfItsOwnSubscriptionsAndOfThoseToNobody) {
  config::Generation generation;
  generation.audience = "pubsub";
  generation.components = {component("near", "pubsub.in-memory")};
  generation.elsewhere = {{"far", "b"}};
  configure(generation);
  ::testing::internal::CaptureStdout();

  app_comes("shop", 1, kNearFarNowhere);
  run_until(loop_, [&] { return status_.find("/near") != std::string::npos; });
  tell_app("shop", true, 1);  // nothing new
  run_until(loop_, [&] { return !loop_.turn(Nanos::zero()); });

  const std::string said = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(status_.find("/far"), std::string::npos);
  EXPECT_NE(status_.find("/nowhere"), std::string::npos);
  const std::size_t first = said.find("of 'nowhere', which is no pubsub component");
  EXPECT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("of 'nowhere'", first + 1), std::string::npos);
  EXPECT_EQ(said.find("'far'"), std::string::npos);
}

TEST_F(CapabilityTest, KafkaInTheWrongProgramNamesTheRightOne) {
  configure({component("events", "pubsub.kafka")});

  run_until(loop_, [&] { return status_.find("caisson-pubsub-kafka in the compartment") != std::string::npos; });
}

}  // namespace
}  // namespace caisson::pubsub
