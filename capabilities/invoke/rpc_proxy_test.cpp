#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/invoke/testing/invoke_rig.hpp"
#include "sdk/rpc.hpp"

namespace caisson::invoke {
namespace {

using caisson::testing::Answer;
using caisson::testing::Ask;
using ::testing::HasSubstr;

constexpr const char* kMethod = "/calc.Calculator/Add";

class RpcProxyTest : public InvokeRig {
 protected:
  static Ask add(const std::string& app = "calc", const std::string& message = "2+2") {
    Ask ask = post(kMethod, message.empty() ? std::string() : sdk::rpc_frame(message));
    ask.rpc = true;
    if (!app.empty()) ask.headers = {{"dapr-app-id", app}};
    return ask;
  }
  /// Begins a call; its body is written by the test.
  OpenCall open(const Ask& ask, std::string first = {}) {
    auto open = gateway_.open(ask, std::move(first));
    EXPECT_TRUE(open);
    return *std::move(open);
  }
  void write(OpenCall& call, const std::string& message) {
    ASSERT_TRUE(testing::run(loop_, call.body.write(Buffer(sdk::rpc_frame(message)), Deadline::never())));
  }
  void finish(OpenCall& call) { ASSERT_TRUE(testing::run(loop_, call.body.finish(Deadline::never()))); }

  /// An app that answers each piece that arrives with the same piece, and ends with a status.
  static Task<void> echo(Incoming call, BodyEnd end) {
    const Field headers[] = {{"x-leading", "1"}};
    Envelope reply;
    reply.headers = headers;
    auto beginning = call.reply_streamed(reply, Buffer());
    auto writer = co_await std::move(beginning);
    BodyReader rest = call.rest();
    while (true) {
      auto reading = rest.next(call.deadline());
      auto piece = co_await std::move(reading);
      if (!piece) {
        writer->fail(piece.error());
        co_return;
      }
      if (!*piece) break;
      auto writing = writer->write(std::move(**piece), call.deadline());
      [[maybe_unused]] const auto written = co_await std::move(writing);
    }
    auto ending = writer->finish(call.deadline(), std::move(end));
    [[maybe_unused]] const auto ended = co_await std::move(ending);
  }
};

TEST_F(RpcProxyTest, AMethodNobodyServesGoesToTheAppOfTheMetadata) {
  script_ = {status(0, sdk::rpc_frame("4"))};
  script_[0].headers = {{"x-leading", "1"}, {"grpc-encoding", "gzip"}};
  script_[0].trailers = {{"x-last", "bye"}};
  Ask ask = add();
  ask.headers.insert(ask.headers.end(), {{"x-mine", "1"},
                                         {"x-blob-bin", "AAE="},
                                         {"grpc-encoding", "gzip"},
                                         {"grpc-timeout", "1S"},
                                         {":authority", "here:50001"},
                                         {"dapr-api-token", "secret"},
                                         {"dapr-caller-app-id", "liar"},
                                         {"content-type", "application/grpc+proto"}});

  const Answer answer = gateway_.ask(ask);

  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].app, "calc");
  EXPECT_EQ(seen_[0].path, kMethod);
  EXPECT_EQ(seen_[0].body, sdk::rpc_frame("2+2"));
  EXPECT_EQ(seen_[0].hops, 1);
  EXPECT_EQ(seen_[0].header("content-type"), "application/grpc");
  EXPECT_EQ(seen_[0].header("x-mine"), "1");
  EXPECT_EQ(seen_[0].header("x-blob-bin"), "AAE=");
  EXPECT_EQ(seen_[0].header("grpc-encoding"), "gzip");
  EXPECT_EQ(seen_[0].header("grpc-timeout"), "") << "the gateway knows how much is left";
  EXPECT_EQ(seen_[0].header(":authority"), "");
  EXPECT_EQ(seen_[0].header("dapr-app-id"), "");
  EXPECT_EQ(seen_[0].header("dapr-api-token"), "");
  EXPECT_EQ(seen_[0].header("dapr-caller-app-id"), "shop");
  EXPECT_EQ(seen_[0].header("dapr-callee-app-id"), "calc");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.body, sdk::rpc_frame("4"));
  EXPECT_EQ(answer.header("x-leading"), "1");
  EXPECT_EQ(answer.header("grpc-encoding"), "gzip");
  EXPECT_EQ(answer.trailers, script_[0].trailers);
}

TEST_F(RpcProxyTest, TheCalleesNameGoesBeforeTheAppsAndMayCarryTheNamespace) {
  script_ = {status(0)};
  Ask ask = add("nobody");
  ask.headers.emplace_back("dapr-callee-app-id", "calc.default");

  EXPECT_EQ(gateway_.ask(ask).status, 0);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].app, "calc");
}

TEST_F(RpcProxyTest, AnAppsStatusAndTrailersArePassedOn) {
  script_ = {status(5)};
  script_[0].message = "no such number";
  script_[0].trailers = {{"grpc-status-details-bin", "CAU="}};

  const Answer answer = gateway_.ask(add());

  EXPECT_EQ(answer.status, 5);
  EXPECT_EQ(answer.message, "no such number");
  EXPECT_EQ(answer.trailers, script_[0].trailers);
}

TEST_F(RpcProxyTest, QuirkWithoutATargetTheStatusIsUnknown) {
  const Answer answer = gateway_.ask(add(""));

  EXPECT_EQ(answer.error.code, Errc::kUnknown);
  EXPECT_THAT(answer.error.message, HasSubstr("dapr-callee-app-id or dapr-app-id"));
}

TEST_F(RpcProxyTest, QuirkAnUnknownTargetIsUnknownAndNamed) {
  const Answer answer = gateway_.ask(add("nobody"));

  EXPECT_EQ(answer.error.code, Errc::kUnknown);
  EXPECT_THAT(answer.error.message, HasSubstr("nobody"));
}

TEST_F(RpcProxyTest, AnAppThatDoesNotSpeakGrpcIsNotCalled) {
  EXPECT_EQ(gateway_.ask(add("cart")).error.code, Errc::kFailedPrecondition);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(RpcProxyTest, BadMethodsAreInvalid) {
  for (const char* path : {"/calc.Calculator/A#b", "/calc.Calculator/A?b", "/calc.Calculator/A\nb", "/",
                           "/open/../calc/A", "/calc//A", "/calc/./A", "/calc/A/"}) {
    Ask ask = add();
    ask.path = path;
    EXPECT_EQ(gateway_.ask(ask).error.code, Errc::kInvalidArgument) << path;
  }
  EXPECT_TRUE(seen_.empty());
}

TEST_F(RpcProxyTest, ACallThatWasPassedOnTooOftenIsNotPassedOnAgain) {
  Ask ask = add();
  ask.hops = kMaxHops;

  EXPECT_EQ(gateway_.ask(ask).error.code, Errc::kFailedPrecondition);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(RpcProxyTest, MessagesFlowBothWaysAtATime) {
  const BodyEnd end{9, "enough", {{"x-last", "bye"}}};
  gateway_.on_call([end](Incoming call) { return echo(std::move(call), end); });
  OpenCall call = open(add());

  write(call, "one");
  auto reply = testing::run(loop_, call.reply(Deadline::never()));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.headers().get("x-leading"), "1");
  const auto first = testing::run(loop_, reply->rest.next(Deadline::never()));
  write(call, "two");
  const auto second = testing::run(loop_, reply->rest.next(Deadline::never()));
  finish(call);
  const auto last = testing::run(loop_, reply->rest.next(Deadline::never()));

  EXPECT_EQ((*first)->view(), sdk::rpc_frame("one"));
  EXPECT_EQ((*second)->view(), sdk::rpc_frame("two"));
  ASSERT_TRUE(last);
  EXPECT_FALSE(*last);
  EXPECT_EQ(reply->rest.end().status, 9);
  EXPECT_EQ(reply->rest.end().message, "enough");
  EXPECT_EQ(reply->rest.end().trailers, end.trailers);
}

TEST_F(RpcProxyTest, ABigStreamGoesThroughWhole) {
  gateway_.on_call([](Incoming call) { return echo(std::move(call), {}); });
  Ask ask = add();
  ask.headers.emplace_back("dapr-stream", "true");
  OpenCall call = open(ask);
  const std::string message(200'000, 'x');
  std::size_t got = 0;
  write(call, message);
  auto reply = testing::run(loop_, call.reply(Deadline::never()));
  ASSERT_TRUE(reply);
  for (int i = 1; i <= 40; ++i) {  // 8 MB, more than is kept for an attempt
    while (got < i * (message.size() + 5)) {
      const auto piece = testing::run(loop_, reply->rest.next(Deadline::never()));
      ASSERT_TRUE(piece && *piece);
      got += (*piece)->size();
    }
    if (i < 40) write(call, message);
  }
  finish(call);
  const auto end = testing::run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST_F(RpcProxyTest, AnAppThatCannotBeReachedIsTriedAgain) {
  script_ = {error(Errc::kUnavailable, "not reachable"), status(0, sdk::rpc_frame("4"))};

  const Answer answer = ask_over_time(add());

  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.body, sdk::rpc_frame("4"));
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[1].body, sdk::rpc_frame("2+2"));
}

TEST_F(RpcProxyTest, AnAppThatStaysAwayIsUnavailable) {
  script_ = {error(Errc::kUnavailable, "not reachable")};

  EXPECT_EQ(ask_over_time(add()).error.code, Errc::kUnavailable);
  EXPECT_EQ(seen_.size(), 4u);
}

TEST_F(RpcProxyTest, APolicyRepeatsFailuresWithTheOneMessage) {
  configure_retry(2, {}, "calc");
  script_ = {status(13), error(Errc::kUnknown, "broke"), status(0, sdk::rpc_frame("4"))};

  const Answer answer = ask_over_time(add());

  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.body, sdk::rpc_frame("4"));
  ASSERT_EQ(seen_.size(), 3u);
  EXPECT_EQ(seen_[2].body, sdk::rpc_frame("2+2"));
}

TEST_F(RpcProxyTest, WhenRetriesAreExhaustedTheLastStatusOfTheAppIsPassedOn) {
  configure_retry(1, {}, "calc");
  script_ = {status(13), status(8)};
  script_[1].message = "too much";

  const Answer answer = ask_over_time(add());

  EXPECT_EQ(answer.status, 8);
  EXPECT_EQ(answer.message, "too much");
  EXPECT_EQ(seen_.size(), 2u);
}

TEST_F(RpcProxyTest, QuirkASecondMessageUnderAPolicyOfRetriesIsAFailedPrecondition) {
  configure_retry(2, {}, "calc");
  script_ = {status(0)};
  OpenCall call = open(add("calc", ""), sdk::rpc_frame("one") + sdk::rpc_frame("two"));
  finish(call);
  const auto reply = testing::run(loop_, call.reply(Deadline::never()));

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kFailedPrecondition);
  EXPECT_THAT(reply.error().message, HasSubstr("streaming"));
}

TEST_F(RpcProxyTest, ASecondMessageAfterTheFirstAnswerIsAFailedPreconditionToo) {
  configure_retry(2, {}, "calc");
  gateway_.on_call([](Incoming call) { return echo(std::move(call), {}); });
  OpenCall call = open(add());
  write(call, "one");
  auto reply = testing::run(loop_, call.reply(Deadline::never()));
  ASSERT_TRUE(reply);
  ASSERT_TRUE(testing::run(loop_, reply->rest.next(Deadline::never())));

  write(call, "two");
  const auto end = testing::run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Errc::kFailedPrecondition);
}

TEST_F(RpcProxyTest, AStreamThatSaysSoMayHaveManyMessagesUnderAPolicyOfRetries) {
  configure_retry(2, {}, "calc");
  gateway_.on_call([](Incoming call) { return echo(std::move(call), {}); });
  Ask ask = add();
  ask.headers.emplace_back("dapr-stream", "1");
  OpenCall call = open(ask, sdk::rpc_frame("one"));
  write(call, "two");
  finish(call);
  auto reply = testing::run(loop_, call.reply(Deadline::never()));
  ASSERT_TRUE(reply);

  const auto all = testing::run(loop_, reply->rest.all(1000, Deadline::never()));

  ASSERT_TRUE(all);
  EXPECT_THAT(*all, HasSubstr("two"));
}

TEST_F(RpcProxyTest, ThePolicysTimeoutEndsAUnaryCallButNotAStream) {
  config::Generation generation;
  generation.resiliencies.emplace_back();
  generation.resiliencies[0].timeouts["brief"] = 1s;
  generation.resiliencies[0].apps["calc"].timeout = "brief";
  ASSERT_EQ(gateway_.configure(generation), "");
  std::vector<Incoming> held;
  gateway_.on_call([&held](Incoming call) { return hold(std::move(call), held); });

  EXPECT_EQ(ask_over_time(add()).error.code, Errc::kDeadlineExceeded);

  held.clear();
  Ask stream = add();
  stream.headers.emplace_back("dapr-stream", "true");
  OpenCall call = open(stream);
  testing::run_until(loop_, [&] { return !held.empty(); });
  clock_.advance(5s);
  while (loop_.turn(0ns)) {
  }
  testing::run(loop_, reply_with(std::move(held[0]), status(0)));
  const auto reply = testing::run(loop_, call.reply(Deadline::never()));
  EXPECT_TRUE(reply);
}

TEST_F(RpcProxyTest, AnAnswerThatBreaksOffDoesNotLookWhole) {
  std::optional<BodyWriter> app;
  gateway_.on_call([&app](Incoming call) { return begin_stream(std::move(call), app); });
  OpenCall call = open(add());
  testing::run_until(loop_, [&] { return app.has_value(); });
  ASSERT_TRUE(testing::run(loop_, app->write(Buffer(sdk::rpc_frame("1")), Deadline::never())));
  auto reply = testing::run(loop_, call.reply(Deadline::never()));
  ASSERT_TRUE(reply);
  ASSERT_TRUE(testing::run(loop_, reply->rest.next(Deadline::never())));

  app->fail({Errc::kUnavailable, "the app died"});
  const auto end = testing::run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Errc::kUnavailable);
}

TEST_F(RpcProxyTest, ACallerWhoLeavesCancelsTheCallToTheApp) {
  std::vector<Incoming> held;
  gateway_.on_call([&held](Incoming call) { return hold(std::move(call), held); });
  {
    OpenCall call = open(add());
    testing::run_until(loop_, [&] { return !held.empty(); });
  }

  BodyReader rest = held[0].rest();
  const auto piece = testing::run(loop_, rest.next(Deadline::never()));

  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error().code, Errc::kCancelled);
}

}  // namespace
}  // namespace caisson::invoke
