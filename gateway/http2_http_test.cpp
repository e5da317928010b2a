// Plain HTTP over HTTP/2, through the same service as HTTP/1.1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/testing/grpc_fixture.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Http2HttpTest : public GrpcTest {
 protected:
  void start_http(FakeCapability::Serve serve, AppConfig app = {}) {
    start_with(std::move(serve), std::move(app));
    client_ = std::make_unique<Http2Client>(connect_to(port_));
  }
  Http2Client::Headers head(std::string method, std::string path, const Http2Client::Headers& more = {}) {
    Http2Client::Headers headers{
        {":method", std::move(method)}, {":scheme", "http"}, {":path", std::move(path)}, {":authority", "shop:1"}};
    headers.insert(headers.end(), more.begin(), more.end());
    return headers;
  }
};

TEST_F(Http2HttpTest, ARequestCrossesInTheWordsOfHttp1) {
  start_http(echo);

  const auto& answer = finished(client_->request(
      head("GET", "/v1/things/b/k%2F1?x=1", {{"x-mine", "1"}, {"cookie", "a=1"}, {"cookie", "b=2"}}), ""));

  EXPECT_EQ(answer.header(":status"), "200");
  EXPECT_EQ(answer.body, "GET /v1/things/b/k%2F1?x=1 box=b key=k/1|host:shop:1|x-mine:1|cookie:a=1; b=2#");
  EXPECT_EQ(answer.header("x-fake"), "yes");
  EXPECT_EQ(answer.header("connection"), "");
  EXPECT_EQ(answer.header("x-bad"), "");
  EXPECT_THAT(answer.header("traceparent"), StartsWith("00-"));
  EXPECT_EQ(answer.header("content-length"), std::to_string(answer.body.size()));
  EXPECT_NE(answer.header("date"), "");
}

TEST_F(Http2HttpTest, AStreamKnowsNothingOfTheOneBeforeIt) {
  start_http(echo);
  finished(client_->request(head("POST", "/v1/things/first", {{"x-mine", "secret"}}), "the first body"));
  const std::int32_t broken = client_->request(head("POST", "/v1/things/second", {{"x-other", "1"}}), "half", false);
  for (int i = 0; i < 5; ++i) client_->turn(), loop_.turn(Nanos::zero());
  client_->reset(broken);
  for (int i = 0; i < 5; ++i) client_->turn(), loop_.turn(Nanos::zero());

  for (int i = 0; i < 3; ++i) {
    const auto& answer = finished(client_->request(head("GET", "/v1/things/b/k"), ""));
    EXPECT_EQ(answer.body, "GET /v1/things/b/k? box=b key=k|host:shop:1#");
  }
}

TEST_F(Http2HttpTest, ManyStreamsAreServedBesideEachOther) {
  start_http(echo);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 100; ++i) {
    ids.push_back(client_->request(head("POST", "/v1/things/b"), "body" + std::to_string(i)));
  }
  for (int i = 0; i < 100; ++i) EXPECT_THAT(finished(ids[i]).body, EndsWith("#body" + std::to_string(i)));
}

TEST_F(Http2HttpTest, HeadGetsALengthAndNoBody) {
  start_http(echo);
  const auto& answer = finished(client_->request(head("HEAD", "/v1/things/b/k"), ""));
  EXPECT_EQ(answer.body, "");
  EXPECT_NE(answer.header("content-length"), "");
}

TEST_F(Http2HttpTest, ABodyIsStreamedWhereItsRouteSaysSo) {
  start_http(reflect);
  const std::int32_t id = client_->request(head("POST", "/v1/stream"), "one", false);
  turn_until([&] { return client_->stream(id).body == "one"; });
  client_->send(id, std::string(300 * 1024, 't'), true);
  EXPECT_EQ(finished(id).error, 0U);
  EXPECT_EQ(client_->stream(id).body.size(), 3 + 300 * 1024U);
}

TEST_F(Http2HttpTest, AStreamedAnswerThatBreaksOffDoesNotLookWhole) {
  start_http([](Incoming incoming) -> Task<void> {
    Envelope reply;
    reply.status = 200;
    auto replying = incoming.reply_streamed(reply, Buffer::copy_of("half"));
    auto writer = co_await std::move(replying);
    if (writer) writer->fail({Errc::kInternal, "broke"});
  });
  const auto& answer = finished(client_->request(head("POST", "/v1/stream"), "x", true));
  EXPECT_EQ(answer.error, static_cast<std::uint32_t>(NGHTTP2_INTERNAL_ERROR));
}

TEST_F(Http2HttpTest, AStreamedAnswerThatIsShorterThanItSaysDoesNotLookWhole) {
  start_http([](Incoming incoming) -> Task<void> {
    const Field headers[] = {{"content-length", "10"}};
    Envelope reply;
    reply.status = 200;
    reply.headers = headers;
    auto replying = incoming.reply_streamed(reply, Buffer::copy_of("half"));
    auto writer = co_await std::move(replying);
    if (!writer) co_return;
    auto finishing = writer->finish(Deadline::never());
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
  });
  const auto& answer = finished(client_->request(head("POST", "/v1/stream"), "x", true));
  EXPECT_EQ(answer.error, static_cast<std::uint32_t>(NGHTTP2_INTERNAL_ERROR));
}

TEST_F(Http2HttpTest, ErrorsAreThoseOfHttp1) {
  AppConfig app;
  app.api_token = "sesame";
  start_http(echo, app);
  const Http2Client::Headers token{{"dapr-api-token", "sesame"}};
  EXPECT_EQ(finished(client_->request(head("GET", "/v1/things/b/k"), "")).header(":status"), "401");
  EXPECT_EQ(finished(client_->request(head("GET", "/nothing", token), "")).header(":status"), "404");
  const auto& large = finished(client_->request(head("POST", "/v1/limited", token), std::string(11, 'x')));
  EXPECT_EQ(large.header(":status"), "400");
  EXPECT_THAT(large.body, HasSubstr("ERR_THING_TOO_LARGE"));
  Http2Client::Headers wide = head("GET", "/v1/health");
  for (int i = 0; i < 5; ++i) wide.emplace_back("x-" + std::to_string(i), std::string(1000, 'x'));
  EXPECT_EQ(finished(client_->request(wide, "")).header(":status"), "431");
}

TEST_F(Http2HttpTest, ABodyThatDoesNotComeIsARequestTimeout) {
  start_http(echo);
  const std::int32_t id = client_->request(head("POST", "/v1/things/b"), "some", false);
  turn_until([&] { return client_->unsent(id) == 0; });
  pass(std::chrono::milliseconds(1));
  pass(std::chrono::seconds(31));
  turn_until([&] { return client_->stream(id).headed; });
  EXPECT_EQ(client_->stream(id).header(":status"), "408");
}

TEST_F(Http2HttpTest, AConnectionGoesOverFromHttp1AndAnswersTheRequestThatAsked) {
  start_http(echo);
  Client client(port_);

  const std::string answer = exchange(
      client,
      get("/v1/things/b/k", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n") +
          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9),
      "key=k|host:h#");

  EXPECT_THAT(answer, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("HTTP/1.1 200")));
  EXPECT_THAT(answer, HasSubstr("GET /v1/things/b/k? box=b key=k"));
}

TEST_F(Http2HttpTest, WhoAsksWronglyForHttp2IsAnsweredInHttp1) {
  start_http(echo);
  for (const std::string more :
       {"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA!\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nHTTP2-Settings: AAMAAABk\r\n"}) {
    Client client(port_);
    EXPECT_THAT(exchange(client, get("/v1/things/b/k", more), "key=k"), StartsWith("HTTP/1.1 200")) << more;
  }
}

TEST_F(Http2HttpTest, ShuttingDownFinishesTheStreamsThatAreOpen) {
  WaitQueue go_on;
  start_http([this, &go_on](Incoming incoming) { return later(std::move(incoming), go_on); });
  const std::int32_t id = client_->request(head("POST", "/v1/things/b"), "x");
  turn_until([&] { return !go_on.empty(); });
  TaskScope scope(loop_);
  scope.spawn(gateway_->shut_down_gracefully(loop_.deadline_in(std::chrono::seconds(30))));
  turn_until([&] { return client_->went_away(); });

  go_on.wake_all();

  EXPECT_THAT(finished(id).body, EndsWith("#x"));
  turn_until([&] {
    clock_.advance(std::chrono::milliseconds(2));
    return client_->ended() && scope.empty();
  });
}

}  // namespace
}  // namespace caisson::gateway
