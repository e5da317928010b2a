#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/invoke/testing/invoke_rig.hpp"

namespace caisson::invoke {
namespace {

using namespace std::chrono_literals;
using caisson::testing::Answer;
using caisson::testing::Ask;
using ::testing::HasSubstr;

using InvokeTest = InvokeRig;

TEST_F(InvokeTest, MethodPathQueryHeadersAndBodyReachTheApp) {
  Ask ask = post("/v1.0/invoke/cart/method/orders/1", "two apples");
  ask.query = "a=1&b=%20";
  ask.headers = {{"Content-Type", "text/plain"}, {"X-Own", "1"}, {"dapr-api-token", "secret"}};

  const Answer answer = gateway_.ask(ask);

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "done");
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].app, "cart");
  EXPECT_EQ(seen_[0].method, "POST");
  EXPECT_EQ(seen_[0].path, "/orders/1");
  EXPECT_EQ(seen_[0].query, "a=1&b=%20");
  EXPECT_EQ(seen_[0].body, "two apples");
  EXPECT_EQ(seen_[0].header("content-type"), "text/plain");
  EXPECT_EQ(seen_[0].header("x-own"), "1");
  EXPECT_EQ(seen_[0].header("dapr-api-token"), "");
  EXPECT_EQ(seen_[0].header("dapr-caller-app-id"), "shop");
  EXPECT_EQ(seen_[0].header("dapr-caller-namespace"), "default");
  EXPECT_EQ(seen_[0].header("dapr-callee-app-id"), "cart");
  EXPECT_EQ(seen_[0].hops, 1);
}

TEST_F(InvokeTest, AnyPathGoesToTheAppOfTheHeader) {
  Ask ask = post("/no/route/of/ours");
  ask.method = "DELETE";
  ask.headers = {{"dapr-app-id", "cart"}};

  EXPECT_EQ(gateway_.ask(ask).status, 200);
  EXPECT_EQ(seen_[0].path, "/no/route/of/ours");
  EXPECT_EQ(seen_[0].method, "DELETE");
}

TEST_F(InvokeTest, TheAnswerOfTheAppIsPassedOnAsItIs) {
  for (const std::uint16_t code : {201, 302, 404, 500}) {
    Answer from_app = status(code, "its own words");
    from_app.headers = {{"Content-Type", "text/x-own"}, {"Location", "/elsewhere"}, {"Connection", "close"}};
    script_ = {from_app};

    const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x"));

    EXPECT_EQ(answer.status, code);
    EXPECT_EQ(answer.body, "its own words");
    EXPECT_EQ(answer.header("content-type"), "text/x-own");
    EXPECT_EQ(answer.header("location"), "/elsewhere");
    EXPECT_EQ(answer.header("connection"), "");
  }
}

TEST_F(InvokeTest, QuirkAnUnknownRouteIsAnInvocationThatNamesNoApp) {
  const Answer answer = gateway_.ask(post("/unknown"));

  EXPECT_EQ(answer.status, 404);
  EXPECT_THAT(answer.body, HasSubstr(R"("errorCode":"ERR_DIRECT_INVOKE")"));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeTest, AnUnknownAppIs500AndNamed) {
  for (const char* app : {"nobody", "cart.elsewhere"}) {
    const Answer answer = gateway_.ask(post(std::string("/v1.0/invoke/") + app + "/method/x"));
    EXPECT_EQ(answer.status, 500);
    EXPECT_THAT(answer.body, HasSubstr(R"("errorCode":"ERR_DIRECT_INVOKE")"));
  }
  EXPECT_THAT(gateway_.ask(post("/v1.0/invoke/nobody/method/x")).body, HasSubstr("id: nobody"));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeTest, AnIdMayCarryTheOwnNamespace) {
  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart.default/method/x")).status, 200);
  EXPECT_EQ(seen_[0].app, "cart");
}

TEST_F(InvokeTest, APathThatCannotBePassedOnIsRefused) {
  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/a%0d%0ab"));

  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("ERR_DIRECT_INVOKE"));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeTest, ConnectAndUnknownMethodsAreRefused) {
  for (const char* method : {"CONNECT", "BREW"}) {
    Ask ask = post("/v1.0/invoke/cart/method/x");
    ask.method = method;
    EXPECT_EQ(gateway_.ask(ask).status, 400);
  }
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeTest, ACallThatWasPassedOnTooOftenIsNotPassedOnAgain) {
  Ask ask = post("/v1.0/invoke/cart/method/x");
  ask.hops = kMaxHops;

  EXPECT_EQ(gateway_.ask(ask).status, 500);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeTest, AConnectionThatBrokeIs500AndNotRepeated) {
  script_ = {error(Errc::kUnknown, "the connection broke")};

  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("failed to invoke, id: cart, err: the connection broke"));
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(InvokeTest, AnAppThatCannotBeReachedIsTriedAgainByTheBuiltInRetries) {
  script_ = {error(Errc::kUnavailable, "not reachable"), status(200, "back")};

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x", "kept body"));

  EXPECT_EQ(answer.body, "back");
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[1].body, "kept body");
}

TEST_F(InvokeTest, AnAppThatStaysAwayIs500AfterTheBuiltInRetries) {
  script_ = {error(Errc::kUnavailable, "not reachable")};

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("not reachable"));
  EXPECT_EQ(seen_.size(), 4u);
}

TEST_F(InvokeTest, ACallToOneselfIsNotRepeated) {
  script_ = {error(Errc::kUnavailable, "not reachable")};

  EXPECT_EQ(ask_over_time(post("/v1.0/invoke/shop/method/x")).status, 500);
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(InvokeTest, ARetryPolicyRepeatsFailuresWithTheWholeBody) {
  configure_retry(2);
  script_ = {status(500), status(503), status(200, "third")};

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x", "body"));

  EXPECT_EQ(answer.body, "third");
  ASSERT_EQ(seen_.size(), 3u);
  EXPECT_EQ(seen_[2].body, "body");
}

TEST_F(InvokeTest, WhenRetriesAreExhaustedTheLastAnswerOfTheAppIsPassedOn) {
  configure_retry(1);
  script_ = {status(500, "first"), status(503, "second")};

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "second");
}

TEST_F(InvokeTest, OnlyMatchingCodesAreRepeated) {
  configure_retry(3, "503");
  script_ = {status(503), status(400, "wrong")};

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(seen_.size(), 2u);
}

TEST_F(InvokeTest, ATimeoutOfThePolicyEndsTheAttempt) {
  config::Generation generation;
  generation.resiliencies.emplace_back();
  generation.resiliencies[0].timeouts["brief"] = 1s;
  generation.resiliencies[0].apps["cart"].timeout = "brief";
  ASSERT_EQ(gateway_.configure(generation), "");
  std::vector<Incoming> held;
  gateway_.on_call([&held](Incoming call) { return hold(std::move(call), held); });

  const Answer answer = ask_over_time(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("deadline"));
}

TEST_F(InvokeTest, AnOpenBreakerAnswersWithoutAskingTheAppAndOnlyForThatMethod) {
  config::Generation generation;
  generation.resiliencies.emplace_back();
  generation.resiliencies[0].circuit_breakers["touchy"].trip = "consecutiveFailures >= 2";
  generation.resiliencies[0].apps["cart"].circuit_breaker = "touchy";
  ASSERT_EQ(gateway_.configure(generation), "");
  script_ = {status(500), status(404), status(200, "other method")};
  gateway_.ask(post("/v1.0/invoke/cart/method/pay"));
  gateway_.ask(post("/v1.0/invoke/cart/method/pay"));

  const Answer refused = gateway_.ask(post("/v1.0/invoke/cart/method/pay"));

  EXPECT_EQ(refused.status, 500);
  EXPECT_THAT(refused.body, HasSubstr("circuit breaker is open"));
  EXPECT_EQ(seen_.size(), 2u);
  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/list")).body, "other method");
}

// --- streams ---

TEST_F(InvokeTest, AStreamedBodyReachesTheAppInPiecesAndIsSentOnce) {
  configure_retry(3);
  script_ = {status(503, "busy")};
  auto open = gateway_.open(post("/v1.0/invoke/cart/method/upload"), "first ");
  ASSERT_TRUE(open);
  const std::string piece(100'000, 'x');

  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(testing::run(loop_, open->body.write(Buffer::copy_of(piece), Deadline::never())));
  }
  ASSERT_TRUE(testing::run(loop_, open->body.finish(Deadline::never())));
  const auto reply = testing::run(loop_, open->reply(Deadline::never()));

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head->status(), 503);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].body.size(), 6 + 10 * piece.size());
}

TEST_F(InvokeTest, ABodyOfKnownLengthIsKeptForARetry) {
  configure_retry(1);
  script_ = {status(500), status(200)};
  Ask ask = post("/v1.0/invoke/cart/method/upload");
  ask.headers = {{"Content-Length", "11"}};
  auto open = gateway_.open(ask, "first ");
  ASSERT_TRUE(open);
  ASSERT_TRUE(testing::run(loop_, open->body.write(Buffer(std::string("piece")), Deadline::never())));
  ASSERT_TRUE(testing::run(loop_, open->body.finish(Deadline::never())));

  for (int i = 0; seen_.size() < 2 && i < 100; ++i) {
    while (loop_.turn(0ns)) {
    }
    clock_.advance(100ms);
  }

  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[0].body, "first piece");
  EXPECT_EQ(seen_[1].body, "first piece");
}

TEST_F(InvokeTest, AStreamedAnswerArrivesPieceByPiece) {
  std::optional<BodyWriter> app;
  gateway_.on_call([&app](Incoming call) { return begin_stream(std::move(call), app); });
  Ask ask = post("/v1.0/invoke/cart/method/events");
  ask.headers = {{"Accept", "text/event-stream"}};
  auto reply = testing::run(loop_, gateway_.send(ask));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.headers().get("content-type"), "text/event-stream");

  ASSERT_TRUE(testing::run(loop_, app->write(Buffer(std::string("data: 1\n\n")), Deadline::never())));
  const auto first = testing::run(loop_, reply->rest.next(Deadline::never()));
  ASSERT_TRUE(testing::run(loop_, app->write(Buffer(std::string("data: 2\n\n")), Deadline::never())));
  const auto second = testing::run(loop_, reply->rest.next(Deadline::never()));
  ASSERT_TRUE(testing::run(loop_, app->finish(Deadline::never())));
  const auto end = testing::run(loop_, reply->rest.next(Deadline::never()));

  EXPECT_EQ((*first)->view(), "data: 1\n\n");
  EXPECT_EQ((*second)->view(), "data: 2\n\n");
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST_F(InvokeTest, AnAnswerThatBreaksOffDoesNotLookWhole) {
  std::optional<BodyWriter> app;
  gateway_.on_call([&app](Incoming call) { return begin_stream(std::move(call), app); });
  auto reply = testing::run(loop_, gateway_.send(post("/v1.0/invoke/cart/method/events")));
  ASSERT_TRUE(reply);

  app->fail({Errc::kUnknown, "the app died"});
  const auto end = testing::run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_FALSE(end);
  EXPECT_THAT(end.error().message, HasSubstr("the app died"));
}

TEST_F(InvokeTest, ACallerWhoLeavesCancelsTheCallToTheApp) {
  std::vector<Incoming> held;
  gateway_.on_call([&held](Incoming call) { return hold(std::move(call), held); });
  {
    auto open = gateway_.open(post("/v1.0/invoke/cart/method/slow"), "");
    ASSERT_TRUE(open);
    testing::run_until(loop_, [&] { return !held.empty(); });
    EXPECT_EQ(gateway_.link().serving(), 1u);
  }

  // The gateway's side of the call is told to end; what holds it learns so from its body.
  BodyReader rest = held[0].rest();
  const auto piece = testing::run(loop_, rest.next(Deadline::never()));

  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error().code, Errc::kCancelled);
}

}  // namespace
}  // namespace caisson::invoke
