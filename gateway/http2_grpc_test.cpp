// gRPC calls through a whole gateway: a client of nghttp2 on the one side, a fake capability on the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/gzip.hpp"
#include "bus/task_scope.hpp"
#include "gateway/testing/gateway_fixture.hpp"
#include "gateway/testing/http2_client.hpp"
#include "sdk/base64.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum Number : std::uint16_t { kUnary = 20, kStream, kSelected, kSmall };

Route rpc(std::uint16_t number, Rpc kind, std::string path) {
  Route route{.number = number, .rpc = kind, .method = "POST", .path = std::move(path)};
  route.errors = ErrorShape::kGrpc;
  return route;
}

class GrpcTest : public GatewayTest {
 protected:
  void start_grpc(FakeCapability::Serve serve, AppConfig app = {}) {
    Manifest manifest = fake_manifest();
    Route unary = rpc(kUnary, Rpc::kUnary, "/t.T/Unary");
    unary.group = "things";
    unary.version = "v1";
    Route small = rpc(kSmall, Rpc::kUnary, "/t.T/Small");
    small.body_limit = 16;
    Route selected = rpc(kSelected, Rpc::kStream, "/t.T/Selected");
    selected.selector = "1";
    manifest.routes.insert(manifest.routes.end(), {unary, rpc(kStream, Rpc::kStream, "/t.T/Stream"), selected, small});
    install(manifest);
    start(std::move(app));
    link(std::move(serve));
    client_ = std::make_unique<Http2Client>(connect());
  }
  void TearDown() override {
    client_.reset();
    GatewayTest::TearDown();
  }

  int connect() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(gateway_->grpc_port("shop"));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    [[maybe_unused]] const int begun = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    return fd;
  }

  void turn_until(const std::function<bool()>& done) {
    run_until(loop_, [&] {
      client_->turn();
      return done();
    });
  }
  Http2Client::Stream& finished(std::int32_t id) {
    turn_until([&] { return client_->stream(id).closed || client_->ended(); });
    return client_->stream(id);
  }

  /// Answers a unary call with what was asked.
  static Task<void> describe(Incoming incoming) {
    const Frame& head = incoming.head();
    std::string said(text(head->path()));
    for (const Field field : head.headers()) said += "|" + std::string(field.name) + ":" + std::string(field.value);
    said += "#" + std::string(head.payload());
    const Field headers[] = {{"x-lead", "1"}, {"grpc-status", "9"}};
    const Field trailers[] = {{"x-trail", "2"}, {"bad name", "x"}};
    Envelope reply;
    reply.headers = headers;
    reply.trailers = trailers;
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, Buffer(std::move(said)));
  }

  /// Gives each piece of the body back as it comes, then ends well.
  static Task<void> reflect(Incoming incoming) {
    Envelope head;
    auto replying = incoming.reply_streamed(head, Buffer::copy_of(incoming.head().payload()));
    auto writer = co_await std::move(replying);
    if (!writer) co_return;
    BodyReader rest = incoming.rest();
    while (true) {
      auto reading = rest.next(Deadline::never());
      auto piece = co_await std::move(reading);
      if (!piece || !*piece) break;
      auto writing = writer->write(**std::move(piece), Deadline::never());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
    }
    BodyEnd end;
    end.status = 10;
    end.message = "a%b\n";
    end.trailers = {{"x-end", "yes"}};
    auto finishing = writer->finish(Deadline::never(), end);
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
  }

  std::unique_ptr<Http2Client> client_;
};

TEST_F(GrpcTest, AUnaryCallCrossesAsOneMessageAndItsAnswerHasTrailers) {
  start_grpc(describe);

  const auto& answer = finished(client_->call("/t.T/Unary", "hello", {{"x-mine", "1"}, {"dapr-api-token", "t"}}));

  EXPECT_EQ(answer.header(":status"), "200");
  EXPECT_EQ(answer.header("content-type"), "application/grpc");
  EXPECT_EQ(answer.header("x-lead"), "1");
  EXPECT_EQ(answer.trailer("grpc-status"), "0");
  EXPECT_EQ(answer.trailer("x-trail"), "2");
  EXPECT_EQ(answer.header("grpc-status"), "");
  EXPECT_EQ(answer.messages(),
            std::vector<std::string>{"/t.T/Unary|:authority:h|content-type:application/grpc|x-mine:1#hello"});
}

TEST_F(GrpcTest, AStreamPassesBothWaysAsItComes) {
  start_grpc(reflect);

  const std::int32_t id = client_->call("/t.T/Stream", "one", {}, false);
  turn_until([&] { return client_->stream(id).messages().size() == 1; });
  client_->send(id, framed("two"), true);

  const auto& answer = finished(id);
  EXPECT_THAT(answer.messages(), ElementsAre("one", "two"));
  EXPECT_EQ(answer.trailer("grpc-status"), "10");
  EXPECT_EQ(answer.trailer("grpc-message"), "a%25b%0A");
  EXPECT_EQ(answer.trailer("x-end"), "yes");
}

TEST_F(GrpcTest, AnUnknownMethodIsUnimplemented) {
  start_grpc(describe);
  EXPECT_EQ(finished(client_->call("/t.T/Nothing", "")).grpc_status(), "12");
}

}  // namespace
}  // namespace caisson::gateway
