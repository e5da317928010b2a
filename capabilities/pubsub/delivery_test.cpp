#include "capabilities/pubsub/delivery.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "capabilities/pubsub/grpc_app.hpp"
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
    std::shared_ptr<Receiver> receiver = std::make_shared<HttpApp>(context_, "shop", subscription_);
    if (grpc_) receiver = std::make_shared<GrpcApp>(context_, "shop", subscription_);
    return std::make_shared<DeliveryTarget>("shop", subscription_, Router(subscription_), component_,
                                            std::move(receiver));
  }

  Verdict deliver(std::string data, MessageMetadata metadata = {}, std::uint32_t attempt = 1) {
    auto target = make_target();
    Delivery delivery{"orders", Message{std::move(data), std::move(metadata)}, attempt};
    return run(context_.loop(), deliverer_.deliver(std::move(target), std::move(delivery)));
  }

  std::vector<Verdict> deliver_all(const std::vector<std::string>& data) {
    std::vector<Delivery> deliveries;
    for (const std::string& one : data) deliveries.push_back({"orders", Message{one, {}}, 1});
    return run(context_.loop(), deliverer_.deliver_all(make_target(), std::move(deliveries)));
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

  void configure_inbound_retries(std::int64_t retries, const std::string& codes = {},
                                 const std::string& grpc_codes = {}) {
    config::Generation generation;
    config::Resiliency document;
    document.name = "policies";
    config::RetryPolicy retry;
    retry.duration = 1s;
    retry.max_retries = retries;
    retry.http_codes = codes;
    retry.grpc_codes = grpc_codes;
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
  bool grpc_ = false;
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

/// The ids of a bulk delivery's entries by their event's "n".
std::map<std::string, std::string> ids_in(const std::string& body) {
  std::map<std::string, std::string> ids;
  const auto envelope = parse_json(body);
  for (const JsonValue& entry : envelope->find("entries")->items) {
    ids[entry.find("event")->find("n")->text] = entry.text_of("entryId");
  }
  return ids;
}

/// Answers a bulk delivery: the word for each "n", else SUCCESS.
FakeContext::Answer statuses(const testing::AppCall& call, const std::map<std::string, std::string>& words) {
  std::string list;
  for (const auto& [n, id] : ids_in(call.body)) {
    const auto word = words.find(n);
    list += fmt::format(R"({}{{"entryId":"{}","status":"{}"}})", list.empty() ? "" : ",", id,
                        word == words.end() ? "SUCCESS" : word->second);
  }
  return {200, "{\"statuses\":[" + list + "]}", Errc::kOk};
}

TEST_F(DeliveryTest, EntriesOfABatchAreSettledOneByOne) {
  watch_dead_letters();
  context_.decide = [](const testing::AppCall& call) { return statuses(call, {{"2", "DROP"}}); };

  const auto verdicts =
      deliver_all({R"({"n":1})", R"({"n":2})", "no event", R"({"n":3,"expiration":"2026-08-21T11:59:59Z"})"});

  EXPECT_EQ(verdicts, std::vector(4, Verdict::kAcknowledge));
  EXPECT_EQ(context_.calls.size(), 1U);
  const auto dead = dead_letters();
  EXPECT_EQ(std::set(dead.begin(), dead.end()),
            (std::set<std::string>{R"({"n":2})", "no event", R"({"n":3,"expiration":"2026-08-21T11:59:59Z"})"}));
}

TEST_F(DeliveryTest, EachRouteOfABatchIsACallOfItsOwn) {
  subscription_.rules = {{"event.n > 1", "/many"}};
  context_.decide = [](const testing::AppCall& call) { return statuses(call, {}); };

  deliver_all({R"({"n":1})", R"({"n":2})", R"({"n":3})"});

  ASSERT_EQ(context_.calls.size(), 2U);
  std::map<std::string, std::size_t> sizes;
  for (const testing::AppCall& call : context_.calls) sizes[call.path] = ids_in(call.body).size();
  EXPECT_EQ(sizes, (std::map<std::string, std::size_t>{{"/many", 2}, {"/orders", 1}}));
}

TEST_F(DeliveryTest, QuirkABatchAnsweredWith404IsAcknowledgedWithoutDeadLetters) {
  watch_dead_letters();
  context_.otherwise = {404, "", Errc::kOk};

  EXPECT_EQ(deliver_all({R"({"n":1})"}), std::vector{Verdict::kAcknowledge});
  EXPECT_TRUE(dead_letters().empty());
}

TEST_F(DeliveryTest, ABatchForAnAppThatIsAwayIsGivenBack) {
  watch_dead_letters();
  context_.otherwise = {0, "", Errc::kUnavailable};

  EXPECT_EQ(deliver_all({R"({"n":1})", R"({"n":2})"}), std::vector(2, Verdict::kGiveBack));
  EXPECT_TRUE(dead_letters().empty());
}

TEST_F(DeliveryTest, ThePolicyTriesOnlyThoseEntriesAgainThatFailed) {
  configure_inbound_retries(2);
  context_.decide = [this](const testing::AppCall& call) {
    return statuses(call, context_.calls.size() == 1 ? std::map<std::string, std::string>{{"2", "RETRY"}}
                                                     : std::map<std::string, std::string>());
  };
  std::optional<std::vector<Verdict>> verdicts;
  struct Keep {
    static Task<void> result(Task<std::vector<Verdict>> task, std::optional<std::vector<Verdict>>& out) {
      out = co_await std::move(task);
    }
  };
  TaskScope scope(context_.loop());
  std::vector<Delivery> deliveries;
  for (const char* const data : {R"({"n":1})", R"({"n":2})"}) deliveries.push_back({"orders", Message{data, {}}, 1});
  scope.spawn(Keep::result(deliverer_.deliver_all(make_target(), std::move(deliveries)), verdicts));
  run_until(context_.loop(), [&] { return context_.calls.size() == 1; });

  context_.clock_.advance(1s);

  run_until(context_.loop(), [&] { return verdicts.has_value(); });
  EXPECT_EQ(*verdicts, std::vector(2, Verdict::kAcknowledge));
  ASSERT_EQ(context_.calls.size(), 2U);
  EXPECT_EQ(ids_in(context_.calls[1].body).size(), 1U);
  EXPECT_EQ(ids_in(context_.calls[1].body).count("2"), 1U);
}

TEST_F(DeliveryTest, QuirkAnEventInBinaryModeIsRoutedByTheAttributesBesideIt) {
  subscription_.default_path.clear();
  subscription_.rules = {{"event.type == \"order\"", "/order"}};
  const MessageMetadata metadata{{"contentType", "application/octet-stream"}, {"ce_type", "order"}};

  EXPECT_EQ(deliver("bytes", metadata), Verdict::kAcknowledge);

  ASSERT_EQ(context_.calls.size(), 1U);
  EXPECT_EQ(context_.calls[0].path, "/order");
  EXPECT_EQ(context_.calls[0].body, "bytes");
}

TEST_F(DeliveryTest, AGrpcAppThatImplementsNothingLosesItsEventsWithoutDeadLetters) {
  watch_dead_letters();
  grpc_ = true;
  context_.otherwise = {12, "", Errc::kOk};

  EXPECT_EQ(deliver("{}"), Verdict::kAcknowledge);
  EXPECT_EQ(deliver_all({"{}", "{}"}), std::vector(2, Verdict::kAcknowledge));

  EXPECT_TRUE(dead_letters().empty());
  ASSERT_EQ(context_.calls.size(), 3U);
  EXPECT_EQ(context_.calls[0].path, "/dapr.proto.runtime.v1.AppCallback/OnTopicEvent");
  EXPECT_EQ(context_.calls[1].path, "/dapr.proto.runtime.v1.AppCallback/OnBulkTopicEvent");
  EXPECT_EQ(context_.calls[2].path, "/dapr.proto.runtime.v1.AppCallbackAlpha/OnBulkTopicEventAlpha1");
}

TEST_F(DeliveryTest, AGrpcAppGetsTraceAndMetadataBesideTheEvent) {
  grpc_ = true;
  context_.otherwise = {0, "", Errc::kOk};
  const std::string event = R"({"id":"1","traceparent":")" + std::string(kTrace) + R"("})";

  EXPECT_EQ(
      deliver(event,
              {{"Key", "v"}, {"raw-bin", "\x01"}, {"x-bin", "hi"}, {"grpc-timeout", "1n"}, {"content-length", "7"}}),
      Verdict::kAcknowledge);

  ASSERT_EQ(context_.calls.size(), 1U);
  EXPECT_EQ(context_.calls[0].traceparent.substr(0, 36), kTrace.substr(0, 36));
  EXPECT_EQ(context_.calls[0].headers,
            (std::map<std::string, std::string>{
                {"content-type", "application/grpc"}, {"key", "v"}, {"x-bin", "aGk="}, {"pubsubname", "pubsub"}}));
}

TEST_F(DeliveryTest, ThePolicyLooksAtGrpcsCodesToo) {
  configure_inbound_retries(2, {}, "14");
  grpc_ = true;
  context_.otherwise = {13, "", Errc::kOk};

  EXPECT_EQ(deliver("{}"), Verdict::kRetry);
  EXPECT_EQ(context_.calls.size(), 1U);
}

TEST_F(DeliveryTest, AForeignTraceContextIsNotPassedOn) {
  EXPECT_EQ(child_traceparent(""), "");
  EXPECT_EQ(child_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "");
  EXPECT_EQ(child_traceparent("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "");
  EXPECT_EQ(child_traceparent("garbage"), "");
}

}  // namespace
}  // namespace caisson::pubsub
