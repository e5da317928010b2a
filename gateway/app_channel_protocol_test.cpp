// The same app behind each protocol that --app-protocol names.
#include "gateway/testing/app_channel_fixture.hpp"
#include "gateway/testing/rpc_app.hpp"
#include "net/testing/http_server.hpp"
#include "net/testing/tls_front.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using net::testing::HttpServer;
using net::testing::reply_text;
using net::testing::SeenRequest;
using net::testing::ServerConnection;
using net::testing::TlsFront;
using testing::AppChannelTest;
using testing::Http2Server;
using testing::rpc_answer;
using testing::RpcApp;
using testing::SeenCall;
using testing::WholeReply;

/// An app that speaks HTTP over HTTP/2 and answers with what it was sent.
class H2cApp {
 public:
  explicit H2cApp(EventLoop& loop)
      : server(loop, [this](std::shared_ptr<Http2Stream> stream) { return serve(std::move(stream)); }) {}
  [[nodiscard]] std::uint16_t port() const { return server.port(); }

 private:
  Task<void> serve(std::shared_ptr<Http2Stream> stream) {
    heads.push_back(testing::seen_head(*stream));
    const std::vector<Field> head = {{":status", "207"}, {"x-reply", "r"}};
    stream->send_head(head, false);
    while (true) {
      auto waiting = stream->more(Deadline::never());
      const auto more = co_await std::move(waiting);
      if (!more) co_return;
      std::string bytes = stream->take();
      if (bytes.empty()) break;
      auto writing = stream->write(Buffer(std::move(bytes)), Deadline::never());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
    }
    stream->finish();
  }

 public:
  std::vector<SeenCall> heads;
  Http2Server server;
};

class AppProtocolTest : public AppChannelTest {
 protected:
  Result<WholeReply> post(std::string body) {
    const std::vector<Field> headers = {{"Content-Type", "text/plain"}};
    Envelope request = envelope("POST", "/orders");
    request.query = "x=1";
    request.headers = headers;
    return run(loop_, call_of(request, std::move(body), Deadline::never()));
  }
  Result<WholeReply> call_method(std::string message) {
    const std::vector<Field> headers = {{"content-type", "application/grpc"}};
    Envelope request = envelope("", "/shop.v1.Orders/Take");
    request.headers = headers;
    return run(loop_, call_of(request, std::move(message), Deadline::never()));
  }
};

TEST_F(AppProtocolTest, H2cAppIsCalledAndAskedOverHttp2) {
  H2cApp app(loop_);
  AppConfig config = config_for(app, "h2c");
  config.app_token = "secret";
  open(config, {.paths = {"/which"}, .rpcs = {"/a.B/C"}});
  run_until(loop_, [&] { return observer_.answers.size() == 1; });
  link();

  const auto reply = post("body");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 207);
  EXPECT_EQ(reply->body, "body");
  EXPECT_EQ(observer_.answers[0], "/which 207 ");
  ASSERT_EQ(app.heads.size(), 2U);
  EXPECT_EQ(app.heads[0].header(":method"), "GET");
  EXPECT_EQ(app.heads[0].header("dapr-app-id"), "shop");
  const SeenCall& seen = app.heads[1];
  EXPECT_EQ(seen.header(":path"), "/orders?x=1");
  EXPECT_EQ(seen.header("content-type"), "text/plain");
  EXPECT_EQ(seen.header("content-length"), "4");
  EXPECT_EQ(seen.header("dapr-api-token"), "secret");
}

TEST_F(AppProtocolTest, BodiesOfAnH2cAppAreStreamedInBothDirections) {
  H2cApp app(loop_);
  open_and_link(config_for(app, "h2c"));
  Buffer first(std::string("begins"));
  auto opened = links_->capability.open(envelope("POST", "/"), first, Deadline::never());
  ASSERT_TRUE(opened);
  auto reply = run(loop_, opened->reply(Deadline::never()));
  ASSERT_TRUE(reply);
  auto before = run(loop_, reply->rest.next(Deadline::never()));

  ASSERT_TRUE(run(loop_, opened->body.write(Buffer(std::string(" and ends")), Deadline::never())));
  ASSERT_TRUE(run(loop_, opened->body.finish(Deadline::never())));
  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  ASSERT_TRUE(before && *before && rest);
  EXPECT_EQ((*before)->view(), "begins");
  EXPECT_EQ(*rest, " and ends");
}

TEST_F(AppProtocolTest, HttpsAppIsCalledWhateverItsCertificateSays) {
  HttpServer app(loop_, [](const SeenRequest& seen) { return reply_text(200, seen.target + " " + seen.body); });
  TlsFront front(app.port(), {.name = "elsewhere.example", .protocol = "http/1.1"});
  open_and_link(config_for(front, "https"));

  const auto reply = post("body");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->body, "/orders?x=1 body");
}

TEST_F(AppProtocolTest, GrpcsAppIsCalledWhateverItsCertificateSays) {
  RpcApp app(loop_, [](const SeenCall& seen) { return rpc_answer("got " + seen.message); });
  TlsFront front(app.port(), {.name = "elsewhere.example", .protocol = "h2"});
  open_and_link(config_for(front, "grpcs"));

  const auto reply = call_method("order");

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->body, "got order");
  EXPECT_EQ(app.calls.at(0).header(":scheme"), "https");
}

/// Whatever it is sent.
Task<void> answer_once(ServerConnection& connection) {
  auto reading = connection.read_some();
  co_await std::move(reading);
  auto writing = connection.write(reply_text(400, ""));
  co_await std::move(writing);
}

TEST_F(AppProtocolTest, AppThatSpeaksNoTlsIsUnavailable) {
  HttpServer app(loop_, [](ServerConnection& connection) { return answer_once(connection); });
  for (const char* protocol : {"https", "grpcs"}) {
    open_and_link(config_for(app, protocol));

    const auto reply = std::string_view(protocol) == "https" ? post("") : call_method("");

    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Errc::kUnavailable) << reply.error().message;
    EXPECT_NE(reply.error().message.find("TLS"), std::string::npos) << reply.error().message;
  }
}

}  // namespace
}  // namespace caisson::gateway
