#include "capabilities/pubsub/delivery.hpp"

#include <gtest/gtest.h>

#include "capabilities/pubsub/http_app.hpp"
#include "capabilities/pubsub/memory_broker.hpp"
#include "capabilities/pubsub/testing/broker_fixture.hpp"
#include "capabilities/pubsub/testing/fake_context.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::FakeContext;
using namespace std::chrono_literals;

constexpr std::string_view kTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

class DeliveryTest : public ::testing::Test {
 protected:
  DeliveryTest() : resiliency_(context_.loop()), deliverer_(context_.loop(), resiliency_, [this] { return wall_; }) {
    component_ = std::make_shared<PubsubComponent>();
    component_->name = "pubsub";
    component_->type = "pubsub.in-memory";
    component_->broker = std::make_shared<MemoryBroker>(context_.loop(), "pubsub");
    subscription_.pubsub = "pubsub";
    subscription_.topic = "orders";
    subscription_.default_path = "/orders?x=1";
  }

  std::shared_ptr<DeliveryTarget> make_target() {
    return std::make_shared<DeliveryTarget>("shop", subscription_, Router(subscription_), component_,
                                            std::make_shared<HttpApp>(context_, "shop", subscription_));
  }

  Verdict deliver(std::string data, MessageMetadata metadata = {}, std::uint32_t attempt = 1) {
    auto target = make_target();
    Delivery delivery{"orders", Message{std::move(data), std::move(metadata)}, attempt};
    return run(context_.loop(), deliverer_.deliver(std::move(target), std::move(delivery)));
  }

  /// Subscribes to the dead-letter topic from here on.
  void watch_dead_letters() {
    subscription_.dead_letter_topic = "dead";
    auto subscription =
        run(context_.loop(), component_->broker->subscribe(SubscribeOptions{"dead", "test", {}},
                                                           dead_.handler(context_.loop()), Deadline::never()));
    ASSERT_TRUE(subscription);
    dead_.subscription = *std::move(subscription);
  }
  std::vector<std::string> dead_letters() {
    while (context_.loop().turn(Nanos(0))) {
    }
    return dead_.received;
  }

  void configure_inbound_retries(std::int64_t retries, const std::string& codes = {}) {
    config::Generation generation;
    config::Resiliency document;
    document.name = "policies";
    config::RetryPolicy retry;
    retry.duration = 1s;
    retry.max_retries = retries;
    retry.http_codes = codes;
    document.retries["again"] = retry;
    document.component_inbound["pubsub"].retry = "again";
    generation.resiliencies.push_back(document);
    resiliency_.configure(generation);
  }

  FakeContext context_;
  std::chrono::system_clock::time_point wall_ = *parse_rfc3339("2026-08-21T12:00:00Z");
  sdk::Resiliency resiliency_;
  Deliverer deliverer_;
  std::shared_ptr<PubsubComponent> component_;
  config::Subscription subscription_;
  testing::Subscriber dead_;
};

TEST_F(DeliveryTest, TheAppGetsTheEventAsItWasPublished) {
  const std::string event = R"({ "id":"1", "traceparent":")" + std::string(kTrace) + R"(" })";

  const Verdict verdict = deliver(event, {{"Key", "v"}, {"bad name", "x"}, {"evil", "a\r\nb"}, {"Content-Type", "z"}});

  EXPECT_EQ(verdict, Verdict::kAcknowledge);
  ASSERT_EQ(context_.calls.size(), 1U);
  const testing::AppCall& call = context_.calls[0];
  EXPECT_EQ(call.app, "shop");
  EXPECT_EQ(call.method, "POST");
  EXPECT_EQ(call.path, "/orders");
  EXPECT_EQ(call.query, "x=1");
  EXPECT_EQ(call.body, event);
  EXPECT_EQ(call.headers,
            (std::map<std::string, std::string>{
                {"content-type", "application/cloudevents+json"}, {"key", "v"}, {"pubsubname", "pubsub"}}));
  EXPECT_EQ(call.traceparent.substr(0, 36), kTrace.substr(0, 36));
  EXPECT_NE(call.traceparent, kTrace);
  EXPECT_EQ(call.traceparent.size(), kTrace.size());
}

TEST_F(DeliveryTest, AnswersOfTheAppDecide) {
  const std::vector<std::tuple<std::uint16_t, std::string, Attempt::Kind>> table = {
      {200, "", Attempt::Kind::kSuccess},
      {204, "", Attempt::Kind::kSuccess},
      {200, "no json", Attempt::Kind::kSuccess},
      {200, "[]", Attempt::Kind::kSuccess},
      {200, R"({"status":""})", Attempt::Kind::kSuccess},
      {200, R"({"Status":"SUCCESS"})", Attempt::Kind::kSuccess},
      {200, R"({"status":7})", Attempt::Kind::kSuccess},
      {200, R"({"status":"RETRY"})", Attempt::Kind::kFailed},
      {200, R"({"status":"what"})", Attempt::Kind::kFailed},
      {200, R"({"status":"DROP"})", Attempt::Kind::kDrop},
      {404, R"({"status":"SUCCESS"})", Attempt::Kind::kDrop},
      {301, "", Attempt::Kind::kFailed},
      {500, "", Attempt::Kind::kFailed},
  };
  for (const auto& [status, body, kind] : table) EXPECT_EQ(read_app_answer(status, body).kind, kind) << status << body;
}

TEST_F(DeliveryTest, AFailedMessageStaysPending) {
  context_.otherwise = {500, "", Errc::kOk};

  EXPECT_EQ(deliver("{}"), Verdict::kRetry);
  EXPECT_EQ(context_.calls.size(), 1U);
}

TEST_F(DeliveryTest, AFailedMessageGoesToTheDeadLetterTopicWithTheSameBytes) {
  watch_dead_letters();
  context_.otherwise = {200, R"({"status":"RETRY"})", Errc::kOk};

  EXPECT_EQ(deliver(R"({"id": "1"})"), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters(), std::vector<std::string>{R"({"id": "1"})"});
}

TEST_F(DeliveryTest, ADroppedMessageIsAcknowledgedAndDeadLetteredWhereThereIsATopic) {
  context_.otherwise = {200, R"({"status":"DROP"})", Errc::kOk};
  EXPECT_EQ(deliver("{}"), Verdict::kAcknowledge);

  watch_dead_letters();
  EXPECT_EQ(deliver("{}"), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters().size(), 1U);
}

TEST_F(DeliveryTest, AnAppThatIsAwayCostsNoAttemptAndNoDeadLetter) {
  watch_dead_letters();
  for (const Errc error : {Errc::kUnavailable, Errc::kFailedPrecondition}) {
    context_.otherwise = {0, "", error};
    EXPECT_EQ(deliver("{}", {}, 9), Verdict::kGiveBack);
  }
  EXPECT_TRUE(dead_letters().empty());
}

TEST_F(DeliveryTest, ABrokenConnectionIsTriedAgainSoonUntilTheMessageItselfIsSuspect) {
  watch_dead_letters();
  context_.otherwise = {0, "", Errc::kUnknown};

  EXPECT_EQ(deliver("{}", {}, 1), Verdict::kRetrySoon);
  EXPECT_EQ(deliver("{}", {}, 2), Verdict::kRetrySoon);
  EXPECT_TRUE(dead_letters().empty());
  EXPECT_EQ(deliver("{}", {}, Deliverer::kBrokenLimit), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters().size(), 1U);
}

TEST_F(DeliveryTest, AnAppThatDoesNotAnswerInTimeHasFailed) {
  context_.hold = true;
  component_->processing_timeout = 60s;
  auto target = make_target();
  std::optional<Verdict> verdict;
  struct Keep {
    static Task<void> result(Task<Verdict> task, std::optional<Verdict>& out) { out = co_await std::move(task); }
  };
  TaskScope scope(context_.loop());
  Delivery delivery{"orders", Message{"{}", {}}, 1};
  scope.spawn(Keep::result(deliverer_.deliver(target, std::move(delivery)), verdict));
  context_.clock_.advance(59s);
  while (context_.loop().turn(Nanos(0))) {
  }
  EXPECT_FALSE(verdict);

  context_.clock_.advance(1s);

  run_until(context_.loop(), [&] { return verdict.has_value(); });
  EXPECT_EQ(*verdict, Verdict::kRetry);
}

TEST_F(DeliveryTest, TheInboundPolicyRetriesBeforeTheMessageIsGivenUp) {
  watch_dead_letters();
  configure_inbound_retries(2);
  context_.otherwise = {500, "", Errc::kOk};
  auto target = make_target();
  TaskScope scope(context_.loop());
  struct Run {
    static Task<void> it(Task<Verdict> task) { co_await std::move(task); }
  };
  Delivery delivery{"orders", Message{"{}", {}}, 1};
  scope.spawn(Run::it(deliverer_.deliver(target, std::move(delivery))));

  for (std::size_t calls = 1; calls <= 3; ++calls) {
    run_until(context_.loop(), [&] { return context_.calls.size() == calls; });
    EXPECT_TRUE(dead_letters().empty() || calls == 3);
    context_.clock_.advance(1s);
  }

  run_until(context_.loop(), [&] { return scope.empty(); });
  EXPECT_EQ(context_.calls.size(), 3U);
  EXPECT_EQ(dead_letters().size(), 1U);
}

TEST_F(DeliveryTest, ThePolicyLooksAtTheCodeOfTheAnswer) {
  configure_inbound_retries(2, "503");
  context_.otherwise = {500, "", Errc::kOk};

  EXPECT_EQ(deliver("{}"), Verdict::kRetry);
  EXPECT_EQ(context_.calls.size(), 1U);
}

TEST_F(DeliveryTest, AnExpiredEventIsNotDelivered) {
  const std::string event = R"({"expiration":"2026-08-21T11:59:59Z"})";
  EXPECT_EQ(deliver(event), Verdict::kAcknowledge);

  watch_dead_letters();
  EXPECT_EQ(deliver(event), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters().size(), 1U);
  EXPECT_TRUE(context_.calls.empty());
}

TEST_F(DeliveryTest, WhatIsNoEventIsNotDelivered) {
  EXPECT_EQ(deliver("plain text"), Verdict::kRetry);

  watch_dead_letters();
  EXPECT_EQ(deliver("[1]"), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters(), std::vector<std::string>{"[1]"});
  EXPECT_TRUE(context_.calls.empty());
}

TEST_F(DeliveryTest, ARawSubscriberGetsTheBytesInAnEvent) {
  subscription_.metadata["rawPayload"] = "true";

  EXPECT_EQ(deliver("plain text", {{"traceparent", std::string(kTrace)}}), Verdict::kAcknowledge);

  ASSERT_EQ(context_.calls.size(), 1U);
  const auto event = parse_json(context_.calls[0].body);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->text_of("data_base64"), "cGxhaW4gdGV4dA==");
  EXPECT_EQ(event->text_of("source"), "Dapr");
  EXPECT_EQ(event->text_of("traceparent"), kTrace);
}

TEST_F(DeliveryTest, AnEventThatNoRuleTakesIsDroppedOrDeadLettered) {
  subscription_.default_path.clear();
  subscription_.rules = {{"event.type == \"order\"", "/order"}};
  EXPECT_EQ(deliver(R"({"type":"return"})"), Verdict::kAcknowledge);
  EXPECT_EQ(deliver(R"({"type":"order"})"), Verdict::kAcknowledge);
  ASSERT_EQ(context_.calls.size(), 1U);
  EXPECT_EQ(context_.calls[0].path, "/order");

  watch_dead_letters();
  EXPECT_EQ(deliver(R"({"type":"return"})"), Verdict::kAcknowledge);
  EXPECT_EQ(dead_letters().size(), 1U);
}

TEST_F(DeliveryTest, AForeignTraceContextIsNotPassedOn) {
  EXPECT_EQ(child_traceparent(""), "");
  EXPECT_EQ(child_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "");
  EXPECT_EQ(child_traceparent("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "");
  EXPECT_EQ(child_traceparent("garbage"), "");
}

}  // namespace
}  // namespace caisson::pubsub
