// Apps that speak gRPC.
#include "bus/gzip.hpp"
#include "gateway/testing/app_channel_fixture.hpp"
#include "gateway/testing/rpc_app.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::AppChannelTest;
using testing::framed;
using testing::rpc_answer;
using testing::RpcAnswer;
using testing::RpcApp;
using testing::SeenCall;

constexpr std::string_view kMethod = "/shop.v1.Orders/Take";

/// An answer with everything that gRPC has.
struct RpcReply {
  std::uint16_t status = 0;
  std::string text;
  std::string message;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::string> trailers;
};

class RpcAppChannelTest : public AppChannelTest {
 protected:
  static const std::vector<Field>& type() {
    static const std::vector<Field> headers = {{"content-type", "application/grpc"}};
    return headers;
  }
  Task<Result<RpcReply>> unary(Envelope envelope, std::string message, Deadline deadline) {
    Buffer payload(std::move(message));
    auto calling = links_->capability.call(envelope, payload, deadline);
    CO_ASSIGN(Reply reply, co_await std::move(calling));
    RpcReply all;
    all.status = reply.head->status();
    all.text = text(reply.head->message());
    all.message = reply.head.payload();
    for (const Field field : reply.head.headers()) all.metadata.emplace(field.name, field.value);
    for (const Field field : Fields(reply.head->trailers())) all.trailers.emplace(field.name, field.value);
    co_return all;
  }
  Result<RpcReply> call_method(std::string message, const std::vector<Field>& headers = type()) {
    Envelope call = envelope("", kMethod);
    call.headers = headers;
    call.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    return run(loop_, unary(call, std::move(message), loop_.deadline_in(std::chrono::seconds(60))));
  }
};

// --- unary calls ---

TEST_F(RpcAppChannelTest, CallOfAMethodReachesTheAppWithTokenTraceAndDeadline) {
  RpcApp app(loop_, [](const SeenCall& seen) { return rpc_answer("got " + seen.message); });
  AppConfig config = config_for(app, "grpc");
  config.app_token = "secret";
  open_and_link(config);

  const auto reply = call_method("order", {{"Content-Type", "application/grpc"},
                                           {":authority", "the client's"},
                                           {"X-Meta", "v"},
                                           {"key-bin", "AAEC"},
                                           {"dapr-api-token", "the client's"},
                                           {"grpc-timeout", "1S"}});

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 0);
  EXPECT_EQ(reply->message, "got order");
  ASSERT_EQ(app.calls.size(), 1U);
  const SeenCall& seen = app.calls[0];
  EXPECT_EQ(seen.header(":method"), "POST");
  EXPECT_EQ(seen.header(":scheme"), "http");
  EXPECT_EQ(seen.header(":path"), kMethod);
  EXPECT_EQ(seen.header(":authority"), "127.0.0.1:" + std::to_string(app.port()));
  EXPECT_EQ(seen.header("content-type"), "application/grpc");
  EXPECT_EQ(seen.header("te"), "trailers");
  EXPECT_EQ(seen.header("x-meta"), "v");
  EXPECT_EQ(seen.header("key-bin"), "AAEC");
  EXPECT_EQ(seen.header("dapr-api-token"), "secret");
  EXPECT_EQ(seen.header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(seen.header("grpc-trace-bin"), "AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE");
  EXPECT_EQ(seen.header("grpc-timeout"), "60000m");
}

TEST_F(RpcAppChannelTest, CodeTextMetadataAndTrailersOfTheAppComeBack) {
  RpcApp app(loop_, [](const SeenCall&) {
    return RpcAnswer{9, "no%20stock%21 %C3%A9", {}, {{"x-head", "h"}}, {{"x-tail", "t"}, {"details-bin", "AA"}}};
  });
  open_and_link(config_for(app, "grpc"));

  const auto reply = call_method("");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 9);
  EXPECT_EQ(reply->text, "no stock! \xC3\xA9");
  EXPECT_EQ(reply->message, "");
  using Map = std::map<std::string, std::string>;
  EXPECT_EQ(reply->metadata, (Map{{"x-head", "h"}}));
  EXPECT_EQ(reply->trailers, (Map{{"x-tail", "t"}, {"details-bin", "AA"}}));
}

TEST_F(RpcAppChannelTest, PackedAnswerIsUnpacked) {
  const std::string packed = gzip("a long message");
  RpcApp app(loop_, [&](const SeenCall&) {
    std::string message = framed(packed);
    message[0] = 1;
    return RpcAnswer{0, {}, message, {{"grpc-encoding", "gzip"}}};
  });
  open_and_link(config_for(app, "grpc"));

  const auto reply = call_method("");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->message, "a long message");
  EXPECT_FALSE(reply->metadata.contains("grpc-encoding"));
  EXPECT_EQ(app.calls[0].header("grpc-accept-encoding"), "identity,gzip");
}

TEST_F(RpcAppChannelTest, CallsShareOneConnection) {
  RpcApp app(loop_, [](const SeenCall&) { return rpc_answer(""); });
  open_and_link(config_for(app, "grpc"));
  const std::size_t probes = app.server.accepted();

  for (int i = 0; i < 5; ++i) ASSERT_TRUE(call_method(""));

  EXPECT_EQ(app.server.accepted(), probes + 1);
}

TEST_F(RpcAppChannelTest, AnswerThatIsNotOneMessageIsAnError) {
  const std::vector<std::pair<RpcAnswer, Errc>> table = {
      {{0, {}, ""}, Errc::kInternal},
      {{0, {}, framed("a") + framed("b")}, Errc::kInternal},
      {{0, {}, framed("abc").substr(0, 6)}, Errc::kInternal},
      {{0, {}, std::string("\2\0\0\0\0", 5)}, Errc::kInternal},
      {{0, {}, std::string("\1\0\0\0\0", 5), {{"grpc-encoding", "snappy"}}}, Errc::kUnimplemented},
  };
  RpcAnswer next;
  RpcApp app(loop_, [&](const SeenCall&) { return next; });
  open_and_link(config_for(app, "grpc"));
  for (const auto& [answer, code] : table) {
    next = answer;

    const auto reply = call_method("");

    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code) << reply.error().message;
  }
}

TEST_F(RpcAppChannelTest, AnswerThatIsOnlyAHeadWithOkIsAnError) {
  testing::Http2Server app(loop_, [](std::shared_ptr<Http2Stream> stream) -> Task<void> {
    const std::vector<Field> head = {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "0"}};
    stream->send_head(head, true);
    co_return;
  });
  open_and_link(config_for(app, "grpc"));

  const auto reply = call_method("");

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kInternal);
}

TEST_F(RpcAppChannelTest, CodeThatIsNoneOfGrpcsIsUnknown) {
  RpcApp app(loop_, [](const SeenCall&) { return RpcAnswer{17, {}, {}}; });
  open_and_link(config_for(app, "grpc"));

  const auto reply = call_method("");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, static_cast<int>(Errc::kUnknown));
}

TEST_F(RpcAppChannelTest, AnswerOverTheLimitIsRefused) {
  RpcApp app(loop_, [](const SeenCall&) { return rpc_answer(std::string(1001, 'x')); });
  AppConfig config = config_for(app, "grpc");
  config.max_body_size = 1000;
  open_and_link(config);

  const auto reply = call_method("");

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kResourceExhausted);
}

TEST_F(RpcAppChannelTest, CallOfTheOtherKindIsRefusedByName) {
  RpcApp app(loop_, [](const SeenCall&) { return rpc_answer(""); });
  open_and_link(config_for(app, "grpc"));

  const auto refused = call("GET", "/orders");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("grpc"), std::string::npos);
  EXPECT_TRUE(app.calls.empty());
}

TEST_F(RpcAppChannelTest, MethodOfAnHttpAppIsRefusedByName) {
  net::testing::HttpServer app(loop_, [](const auto&) { return net::testing::reply_text(200, ""); });
  open_and_link(config_for(app));

  const auto refused = call_method("");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_TRUE(app.requests.empty());
}

TEST_F(RpcAppChannelTest, AppThatSpeaksNoHttp2IsUnavailable) {
  net::testing::HttpServer app(loop_, [](const auto&) { return net::testing::reply_text(400, ""); });
  open_and_link(config_for(app, "grpc"));

  const auto refused = call_method("");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  EXPECT_NE(refused.error().message.find("HTTP/2"), std::string::npos) << refused.error().message;
}

// --- what it is asked ---

TEST_F(RpcAppChannelTest, MethodsAreAskedOncePerIncarnationAndPathsNot) {
  RpcApp app(loop_, [](const SeenCall& seen) {
    return seen.header(":path") == "/box.v1.Owner/List" ? rpc_answer("[1]") : RpcAnswer{12, "none", {}};
  });
  AppConfig config = config_for(app, "grpc");
  config.app_token = "secret";
  open(config, {.paths = {"/a"}, .rpcs = {"/box.v1.Owner/List", "/box.v1.Owner/Other"}});
  pass_time_until([&] { return observer_.answers.size() == 2; });

  pass_time(std::chrono::seconds(3));
  app.server.stop();
  pass_time_until([&] { return !channel_->reachable(); });
  app.server.restart();
  pass_time_until([&] { return observer_.answers.size() == 4; });

  std::ranges::sort(observer_.answers);
  const std::string list = "/box.v1.Owner/List 0 [1]";
  const std::string other = "/box.v1.Owner/Other 12 ";
  EXPECT_EQ(observer_.answers, (std::vector<std::string>{list, list, other, other}));
  EXPECT_EQ(app.calls[0].header("dapr-api-token"), "secret");
  EXPECT_EQ(channel_->incarnation(), 2U);
}

TEST_F(RpcAppChannelTest, MethodThatKeepsFailingIsGivenUpAsUnavailable) {
  RpcApp app(loop_, [](const SeenCall&) { return RpcAnswer{14, "later", {}}; });
  open(config_for(app, "grpc"), {.rpcs = {"/box.v1.Owner/List"}});

  pass_time_until([&] { return observer_.answers.size() == 1; });

  EXPECT_EQ(observer_.answers[0], "/box.v1.Owner/List 14 ");
  EXPECT_EQ(app.calls.size(), 4U);
}

// --- its health ---

TEST_F(RpcAppChannelTest, AppIsHealthyWhileTheMethodForItSaysSo) {
  int code = 12;
  RpcApp app(loop_, [&](const SeenCall&) { return code == 0 ? rpc_answer("") : RpcAnswer{code, {}, {}}; });
  AppConfig config = config_for(app, "grpc");
  config.health_check = true;
  open(config, {.health_rpc = "/box.v1.Health/Check"});
  pass_time_until([&] { return app.calls.size() == 2; });
  ASSERT_FALSE(channel_->healthy());

  code = 0;
  pass_time_until([&] { return channel_->healthy(); });
  code = 13;
  const std::size_t probes = app.calls.size();
  pass_time_until([&] { return !channel_->healthy(); });

  EXPECT_EQ(app.calls.size(), probes + 3);
  EXPECT_TRUE(channel_->reachable());
  EXPECT_EQ(app.calls[0].header(":path"), "/box.v1.Health/Check");
  EXPECT_EQ(app.calls[0].header("grpc-timeout"), "500m");
}

}  // namespace
}  // namespace caisson::gateway
