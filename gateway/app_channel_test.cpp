#include "gateway/app_channel.hpp"

#include "gateway/testing/app_channel_fixture.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using net::testing::HttpServer;
using net::testing::reply_text;
using net::testing::SeenRequest;
using net::testing::ServerConnection;
using testing::AppChannelTest;
using testing::WholeReply;

std::string echo_target(const SeenRequest& seen) { return reply_text(200, seen.target); }

// --- whether the app is there ---

TEST_F(AppChannelTest, AppIsReachableOnceItsPortOpens) {
  HttpServer app(loop_, echo_target);
  app.stop();
  open(config_for(app));
  pass_time(std::chrono::seconds(2));
  ASSERT_FALSE(channel_->reachable());
  ASSERT_EQ(observer_.changes, 0);

  app.restart();
  pass_time_until([&] { return channel_->reachable(); });

  EXPECT_EQ(channel_->incarnation(), 1U);
  EXPECT_TRUE(channel_->healthy());
  EXPECT_TRUE(observer_.reachable);
}

TEST_F(AppChannelTest, OnlyAnAppThatNeedsNothingOfTheChannelMayBeCalledDirectly) {
  HttpServer app(loop_, echo_target);
  const AppConfig plain = config_for(app);
  const auto direct = [&](AppConfig config) {
    open(std::move(config));
    pass_time_until([&] { return channel_->reachable(); });
    return channel_->direct_address();
  };

  EXPECT_EQ(direct(plain), "127.0.0.1:" + std::to_string(app.port()));

  AppConfig with_token = plain;
  with_token.app_token = "secret";
  EXPECT_EQ(direct(with_token), "");
  AppConfig limited = plain;
  limited.app_max_concurrency = 1;
  EXPECT_EQ(direct(limited), "");
  EXPECT_EQ(direct(config_for(app, "h2c")), "");

  open(plain);
  EXPECT_EQ(channel_->direct_address(), "") << "nobody has seen it yet";
}

TEST_F(AppChannelTest, AppThatStaysIsOneIncarnation) {
  HttpServer app(loop_, echo_target);
  open(config_for(app));

  pass_time(std::chrono::seconds(10));

  EXPECT_EQ(channel_->incarnation(), 1U);
  EXPECT_EQ(observer_.changes, 1);
}

/// With answers that keep their connection and with answers that do not.
class AppRestartTest : public AppChannelTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(AppRestartTest, AppThatWasKilledIsANewIncarnationWhenItIsBack) {
  HttpServer app(loop_, [](const SeenRequest&) { return reply_text(200, "[]", GetParam()); });
  open(config_for(app), {.paths = {"/which"}});
  pass_time_until([&] { return observer_.answers.size() == 1; });

  app.stop();
  const Nanos noticed = pass_time_until([&] { return !channel_->reachable(); });
  app.restart();
  const Nanos back = pass_time_until([&] { return channel_->reachable(); });

  EXPECT_EQ(channel_->incarnation(), 2U);
  EXPECT_LT(noticed + back, std::chrono::seconds(2));
  pass_time_until([&] { return observer_.answers.size() == 2; });
}

INSTANTIATE_TEST_SUITE_P(All, AppRestartTest, ::testing::Values("", "Connection: close\r\n"));

/// Answers with what `addresses` holds at that moment; nothing: the name is not known.
struct Names {
  std::vector<std::string> addresses;
  int asked = 0;

  Task<Result<std::vector<std::string>>> answer(std::string host) {
    ++asked;
    if (addresses.empty()) co_return Error{Errc::kUnavailable, "host '" + host + "' is not known"};
    co_return addresses;
  }
  AppAddress::LookUp look_up() {
    return [this](EventLoop&, std::string host, Deadline) { return answer(std::move(host)); };
  }
};

TEST_F(AppChannelTest, AppIsFoundByItsHostsNameOnceThatIsKnown) {
  Names names;
  HttpServer app(loop_, echo_target);
  AppConfig config = config_for(app);
  config.app_channel_address = "app";
  channel_ = std::make_unique<AppChannel>(loop_, config, observer_, names.look_up());
  channel_->start();
  pass_time(std::chrono::seconds(2));
  ASSERT_FALSE(channel_->reachable());
  EXPECT_LT(names.asked, 10);

  names.addresses = {"192.0.2.1", "127.0.0.1"};  // nobody is at the first
  pass_time_until([&] { return channel_->reachable(); });
  link();
  const auto answered = call("GET", "/hello");

  ASSERT_TRUE(answered);
  EXPECT_EQ(answered->body, "/hello");
  ASSERT_FALSE(app.requests.empty());
  EXPECT_EQ(app.requests.back().header("host"), "app:" + std::to_string(app.port()));
}

TEST_F(AppChannelTest, AppWhoseNameMovesIsANewIncarnationAtTheNewAddress) {
  Names names{.addresses = {"127.0.0.1"}};
  HttpServer app(loop_, echo_target);
  AppConfig config = config_for(app);
  config.app_channel_address = "app";
  channel_ = std::make_unique<AppChannel>(loop_, config, observer_, names.look_up());
  channel_->start();
  pass_time_until([&] { return channel_->reachable(); });

  names.addresses = {"::ffff:127.0.0.1"};  // the same server, at another address
  pass_time_until([&] { return channel_->incarnation() == 2; });

  link();
  EXPECT_TRUE(call("GET", "/hello"));
}

TEST_F(AppChannelTest, AppStaysWhileNobodyResolvesItsName) {
  Names names{.addresses = {"127.0.0.1"}};
  HttpServer app(loop_, echo_target);
  AppConfig config = config_for(app);
  config.app_channel_address = "app";
  channel_ = std::make_unique<AppChannel>(loop_, config, observer_, names.look_up());
  channel_->start();
  pass_time_until([&] { return channel_->reachable(); });

  names.addresses.clear();
  pass_time(std::chrono::seconds(20));

  EXPECT_TRUE(channel_->reachable());
  EXPECT_EQ(channel_->incarnation(), 1U);
}

TEST_F(AppChannelTest, WhatIsNoHostIsSaidSo) {
  AppConfig config;
  config.id = "shop";
  config.app_port = 1;
  config.app_channel_address = "http://app";
  open(std::move(config));
  link();

  const auto answered = call("GET", "/hello");

  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, Errc::kFailedPrecondition);
  EXPECT_NE(answered.error().message.find("http://app"), std::string::npos);
}

TEST_F(AppChannelTest, AppThatOnlyClosedItsConnectionsIsNoNewIncarnation) {
  HttpServer app(loop_, echo_target);
  open(config_for(app), {.paths = {"/which"}});
  pass_time_until([&] { return observer_.answers.size() == 1; });

  app.hang_up();
  pass_time(std::chrono::seconds(3));

  EXPECT_EQ(channel_->incarnation(), 1U);
  EXPECT_EQ(observer_.answers.size(), 1U);
}

TEST_F(AppChannelTest, AppIsHealthyFromItsFirstSuccessAndUnhealthyAfterAThresholdOfFailures) {
  bool well = false;
  HttpServer app(loop_, [&](const SeenRequest&) { return reply_text(well ? 204 : 500, ""); });
  AppConfig config = config_for(app);
  config.health_check = true;
  config.health_path = "/alive";
  config.health_interval = std::chrono::seconds(1);
  config.health_threshold = 3;
  open(config);
  pass_time_until([&] { return app.requests.size() == 2; });
  ASSERT_TRUE(channel_->reachable());
  ASSERT_FALSE(channel_->healthy());

  well = true;
  pass_time_until([&] { return channel_->healthy(); });
  well = false;
  const std::size_t probes = app.requests.size();
  pass_time_until([&] { return !channel_->healthy(); });

  EXPECT_EQ(app.requests.size(), probes + 3);
  EXPECT_TRUE(channel_->reachable());
  EXPECT_EQ(app.requests[0].target, "/alive");
  EXPECT_FALSE(observer_.healthy);
}

TEST_F(AppChannelTest, UnhealthyAppIsNotAskedAndNotCalled) {
  bool well = false;
  HttpServer app(loop_, [&](const SeenRequest&) { return reply_text(well ? 200 : 503, ""); });
  AppConfig config = config_for(app);
  config.health_check = true;
  open(config, {.paths = {"/which"}});
  pass_time_until([&] { return app.requests.size() == 1; });
  link();

  const auto refused = call("GET", "/");
  const bool asked_before = !observer_.answers.empty();
  well = true;
  pass_time_until([&] { return channel_->healthy(); });
  pass_time_until([&] { return observer_.answers.size() == 1; });

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_FALSE(asked_before);
}

// --- what it is asked ---

TEST_F(AppChannelTest, QueriesAreAskedOncePerIncarnationWithTheAppsIdAndToken) {
  HttpServer app(loop_, [](const SeenRequest& seen) { return reply_text(seen.target == "/a" ? 200 : 404, "[1]"); });
  AppConfig config = config_for(app);
  config.app_token = "secret";
  open(config, {.paths = {"/a", "/b"}});
  pass_time_until([&] { return observer_.answers.size() == 2; });

  channel_->set_queries({.paths = {"/a", "/b", "/c"}});
  pass_time_until([&] { return observer_.answers.size() == 3; });
  pass_time(std::chrono::seconds(3));

  std::vector<std::string> answers = observer_.answers;
  std::ranges::sort(answers);
  EXPECT_EQ(answers, (std::vector<std::string>{"/a 200 [1]", "/b 404 [1]", "/c 404 [1]"}));
  ASSERT_EQ(app.requests.size(), 3U);
  EXPECT_EQ(app.requests[0].method, "GET");
  EXPECT_EQ(app.requests[0].header("dapr-app-id"), "shop");
  EXPECT_EQ(app.requests[0].header("content-type"), "application/json");
  EXPECT_EQ(app.requests[0].header("dapr-api-token"), "secret");
}

TEST_F(AppChannelTest, QueryThatFailsIsAskedAgain) {
  int count = 0;
  HttpServer app(loop_, [&](const SeenRequest&) {
    ++count;
    if (count == 1) return std::string();
    return reply_text(count == 2 ? 500 : 200, "fine");
  });
  open(config_for(app), {.paths = {"/a"}});

  pass_time_until([&] { return observer_.answers.size() == 1; });

  EXPECT_EQ(observer_.answers[0], "/a 200 fine");
  EXPECT_EQ(count, 3);
}

TEST_F(AppChannelTest, QueryThatKeepsFailingIsGivenUpWithStatusZero) {
  int count = 0;
  HttpServer app(loop_, [&](const SeenRequest&) {
    ++count;
    return std::string();
  });
  open(config_for(app), {.paths = {"/a"}});

  pass_time_until([&] { return observer_.answers.size() == 1; });

  EXPECT_EQ(observer_.answers[0], "/a 0 ");
  EXPECT_EQ(count, 4);
}

TEST_F(AppChannelTest, DisabledQueryIsAnsweredWithoutTheApp) {
  HttpServer app(loop_, echo_target);
  AppConfig config = config_for(app);
  config.disabled_queries = {"/a"};
  open(config, {.paths = {"/a"}});

  pass_time_until([&] { return observer_.answers.size() == 1; });

  EXPECT_EQ(observer_.answers[0], "/a 404 ");
  EXPECT_TRUE(app.requests.empty());
}

// --- what it is called with ---

TEST_F(AppChannelTest, CallBecomesARequestAndTheAnswerItsReply) {
  HttpServer app(loop_, [](const SeenRequest& seen) { return reply_text(207, "got " + seen.body, "X-Reply: r\r\n"); });
  AppConfig config = config_for(app);
  config.app_token = "secret";
  open_and_link(config);
  const std::vector<Field> headers = {{"Content-Type", "text/plain"}, {"DAPR-API-TOKEN", "the client's"}};
  Envelope request = envelope("PUT", "/orders/a%2Fb");
  request.query = "x=1&y=2";
  request.headers = headers;
  request.traceparent = "00-11-22-01";

  const auto reply = run(loop_, call_of(request, "body", loop_.deadline_in(std::chrono::seconds(9))));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 207);
  EXPECT_EQ(reply->body, "got body");
  ASSERT_EQ(app.requests.size(), 1U);
  const SeenRequest& seen = app.requests[0];
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.target, "/orders/a%2Fb?x=1&y=2");
  EXPECT_EQ(seen.body, "body");
  EXPECT_EQ(seen.header("content-type"), "text/plain");
  EXPECT_EQ(seen.header("dapr-api-token"), "secret");
  EXPECT_EQ(seen.header("traceparent"), "00-11-22-01");
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(reply->headers, (Pairs{{"X-Reply", "r"}, {"Content-Length", "8"}}));
}

std::string eight_mebibytes() {
  std::string bytes(8 * 1024 * 1024, ' ');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i * 31 % 26);
  return bytes;
}

Task<void> write_pieces(BodyWriter writer, const std::string& content) {
  for (std::size_t at = 0; at < content.size(); at += 100'000) {
    Buffer piece = Buffer::copy_of(std::string_view(content).substr(at, 100'000));
    if (!co_await writer.write(std::move(piece), Deadline::never())) co_return;
  }
  [[maybe_unused]] const auto ended = co_await writer.finish(Deadline::never());
}

TEST_F(AppChannelTest, BodiesAreStreamedInBothDirections) {
  const std::string content = eight_mebibytes();
  HttpServer app(loop_, [](const SeenRequest& seen) { return reply_text(200, seen.body); });
  open_and_link(config_for(app));
  Buffer nothing;
  auto opened = links_->capability.open(envelope("POST", "/"), nothing, Deadline::never());
  ASSERT_TRUE(opened);

  scope_.spawn(write_pieces(std::move(opened->body), content));
  const auto reply = run(loop_, testing::whole(opened->reply(Deadline::never()), Deadline::never()));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_TRUE(reply->body == content);
  EXPECT_EQ(app.requests[0].header("transfer-encoding"), "chunked");
}

TEST_F(AppChannelTest, AnswerIsPassedOnWhileTheAppStillWritesIt) {
  WaitQueue more;
  EventLoop& loop = loop_;
  HttpServer app(loop_, [&](ServerConnection& connection) {
    auto serve = [](ServerConnection& to, WaitQueue& queue, EventLoop& on) -> Task<void> {
      SeenRequest request;
      co_await to.read_head(request);
      co_await to.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      co_await queue.wait(on, Deadline::never());
      co_await to.write("6\r\nsecond\r\n0\r\n\r\n");
    };
    return serve(connection, more, loop);
  });
  open_and_link(config_for(app));
  Buffer nothing;
  auto reply = run(loop_, links_->capability.call(envelope("GET", "/"), nothing, Deadline::never()));
  ASSERT_TRUE(reply);

  auto first = run(loop_, reply->rest.next(Deadline::never()));
  more.wake_all();
  auto second = run(loop_, reply->rest.next(Deadline::never()));
  auto end = run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_TRUE(first && *first && second && *second && end);
  EXPECT_EQ((*first)->view(), "first");
  EXPECT_EQ((*second)->view(), "second");
  EXPECT_FALSE(*end);
}

TEST_F(AppChannelTest, AnswerThatBreaksOffEndsInAnErrorNotInAnEnd) {
  HttpServer app(loop_, [](ServerConnection& connection) -> Task<void> {
    SeenRequest request;
    co_await connection.read_head(request);
    co_await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  });
  open_and_link(config_for(app));

  const auto reply = call("GET", "/");

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnknown);
}

/// An app that answers a request only when told to, but its health check at once.
class SlowApp {
 public:
  explicit SlowApp(EventLoop& loop)
      : loop_(loop), server(loop, [this](ServerConnection& connection) { return serve(connection); }) {}

  Task<void> serve(ServerConnection& connection) {
    SeenRequest request;
    while (co_await connection.read_request(request)) {
      if (request.target == "/healthz") {
        if (!co_await connection.write(reply_text(well ? 200 : 503, ""))) co_return;
        continue;
      }
      started.push_back(request.target);
      while (allowed == 0) co_await answer.wait(loop_, Deadline::never());
      --allowed;
      if (!co_await connection.write(reply_text(200, request.target))) co_return;
    }
    ++ended;
  }
  void let_one_through() {
    ++allowed;
    answer.wake_one();
  }

  EventLoop& loop_;
  bool well = true;
  int allowed = 0;
  int ended = 0;
  WaitQueue answer;
  std::vector<std::string> started;
  HttpServer server;
};

TEST_F(AppChannelTest, CallsOverTheLimitWaitTheirTurnInOrder) {
  SlowApp app(loop_);
  AppConfig config = config_for(app.server);
  config.app_max_concurrency = 2;
  open_and_link(config);
  std::vector<std::optional<Result<WholeReply>>> replies(4);
  const std::vector<std::string> paths = {"/0", "/1", "/2", "/3"};
  for (std::size_t i = 0; i < 4; ++i) begin_call(paths[i], loop_.deadline_in(std::chrono::seconds(60)), replies[i]);
  run_until(loop_, [&] { return app.started.size() == 2; });
  const std::size_t in_flight = channel_->calls_in_flight();

  app.let_one_through();
  run_until(loop_, [&] { return app.started.size() == 3; });
  const std::string third = app.started[2];
  app.let_one_through();
  run_until(loop_, [&] { return app.started.size() == 4; });
  app.let_one_through();
  app.let_one_through();
  run_until(loop_, [&] { return std::ranges::all_of(replies, [](const auto& reply) { return reply.has_value(); }); });

  EXPECT_EQ(in_flight, 2U);
  EXPECT_EQ(third, "/2");
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(*replies[i]);
    EXPECT_EQ((*replies[i])->body, paths[i]);
  }
  EXPECT_EQ(channel_->calls_in_flight(), 0U);
}

TEST_F(AppChannelTest, CallThatWaitedInLineIsNotMadeToAnAppThatHasBecomeUnwell) {
  SlowApp app(loop_);
  AppConfig config = config_for(app.server);
  config.app_max_concurrency = 1;
  config.health_check = true;
  open(config);
  pass_time_until([&] { return channel_->healthy(); });
  link();
  std::optional<Result<WholeReply>> served;
  std::optional<Result<WholeReply>> waiting;
  begin_call("/served", loop_.deadline_in(std::chrono::minutes(3)), served);
  run_until(loop_, [&] { return app.started.size() == 1; });
  begin_call("/waiting", loop_.deadline_in(std::chrono::minutes(3)), waiting);

  app.well = false;
  pass_time_until([&] { return !channel_->healthy(); });
  app.let_one_through();
  run_until(loop_, [&] { return waiting.has_value(); });

  EXPECT_TRUE(*served);
  ASSERT_FALSE(*waiting);
  EXPECT_EQ(waiting->error().code, Errc::kFailedPrecondition);
  EXPECT_EQ(app.started.size(), 1U);
}

TEST_F(AppChannelTest, CallThatWaitsInLinePastItsDeadlineIsAnswered) {
  SlowApp app(loop_);
  AppConfig config = config_for(app.server);
  config.app_max_concurrency = 1;
  open_and_link(config);
  std::optional<Result<WholeReply>> served;
  std::optional<Result<WholeReply>> waiting;
  begin_call("/served", loop_.deadline_in(std::chrono::seconds(60)), served);
  run_until(loop_, [&] { return app.started.size() == 1; });
  begin_call("/waiting", loop_.deadline_in(std::chrono::seconds(2)), waiting);

  pass_time_until([&] { return waiting.has_value(); });
  app.let_one_through();
  run_until(loop_, [&] { return served.has_value(); });

  EXPECT_FALSE(*waiting);
  EXPECT_TRUE(*served);
  EXPECT_EQ(app.started.size(), 1U);
}

TEST_F(AppChannelTest, SlowAppIsGivenUpAtTheDeadline) {
  SlowApp app(loop_);
  open_and_link(config_for(app.server));
  std::optional<Result<WholeReply>> reply;
  begin_call("/slow", loop_.deadline_in(std::chrono::seconds(2)), reply);

  pass_time_until([&] { return reply.has_value(); });

  ASSERT_FALSE(*reply);
  EXPECT_EQ(reply->error().code, Errc::kDeadlineExceeded);
  run_until(loop_, [&] { return channel_->calls_in_flight() == 0; });
}

TEST_F(AppChannelTest, CallThatIsCancelledLeavesTheLine) {
  SlowApp app(loop_);
  open_and_link(config_for(app.server));
  std::optional<Result<WholeReply>> reply;
  const auto id = begin_call("/slow", loop_.deadline_in(std::chrono::seconds(60)), reply);
  run_until(loop_, [&] { return app.started.size() == 1; });

  scope_.cancel(id);
  run_until(loop_, [&] { return channel_->calls_in_flight() == 0; });

  EXPECT_FALSE(reply.has_value());
}

TEST_F(AppChannelTest, AppThatIsNotThereIsUnavailable) {
  HttpServer app(loop_, echo_target);
  app.stop();
  open(config_for(app));
  link();

  const auto refused = call("GET", "/");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
}

TEST_F(AppChannelTest, AppThatDiesOverACallLeavesItsOutcomeUnknown) {
  HttpServer app(loop_, [](const SeenRequest&) { return std::string(); });
  open_and_link(config_for(app));

  const auto lost = call("POST", "/");

  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kUnknown);
}

TEST_F(AppChannelTest, AppWithoutPortCannotBeCalled) {
  AppConfig config;
  config.id = "shop";
  open(config);
  link();

  const auto refused = call("GET", "/");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_FALSE(channel_->has_port());
}

TEST_F(AppChannelTest, ProtocolThatIsNotSpokenIsSaidSo) {
  HttpServer app(loop_, echo_target);
  open(config_for(app, "smtp"));
  link();

  const auto refused = call("GET", "/");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnimplemented);
  EXPECT_NE(refused.error().message.find("smtp"), std::string::npos);
}

TEST_F(AppChannelTest, CallThatWouldBeNoHttpIsRefusedBeforeTheAppSeesIt) {
  HttpServer app(loop_, echo_target);
  open_and_link(config_for(app));
  const std::vector<Field> headers = {{"X", "a\r\nContent-Length: 0"}};
  Envelope request = envelope("GET", "/");
  request.headers = headers;

  const auto refused = run(loop_, call_of(request, {}, Deadline::never()));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  EXPECT_TRUE(app.requests.empty());
}

}  // namespace
}  // namespace caisson::gateway
