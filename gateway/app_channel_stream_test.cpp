// Streams to and from apps that speak gRPC: the forms of docs/wire-format.md.
#include <algorithm>

#include "gateway/testing/app_channel_fixture.hpp"
#include "gateway/testing/rpc_app.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::AppChannelTest;
using testing::framed;
using testing::Http2Server;
using testing::RpcAnswer;
using testing::SeenCall;

/// An app that sends back every byte as it comes, then this end.
class EchoApp {
 public:
  explicit EchoApp(EventLoop& loop, RpcAnswer end = {})
      : end_(std::move(end)),
        server(loop, [this](std::shared_ptr<Http2Stream> stream) { return serve(std::move(stream)); }) {}
  [[nodiscard]] std::uint16_t port() const { return server.port(); }

 private:
  Task<void> serve(std::shared_ptr<Http2Stream> stream) {
    heads.push_back(testing::seen_head(*stream));
    streams.push_back(stream);
    testing::send_rpc_head(*stream, end_);
    while (true) {
      auto waiting = stream->more(Deadline::never());
      const auto more = co_await std::move(waiting);
      if (!more) co_return;
      std::string bytes = stream->take();
      if (bytes.empty()) break;
      echoed += bytes.size();
      auto writing = stream->write(Buffer(std::move(bytes)), Deadline::never());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
    }
    testing::send_rpc_end(*stream, end_);
  }

  RpcAnswer end_;

 public:
  std::size_t echoed = 0;
  std::vector<SeenCall> heads;
  std::vector<std::shared_ptr<Http2Stream>> streams;
  Http2Server server;
};

class AppStreamTest : public AppChannelTest {
 protected:
  /// A call whose body is still being written, over the link.
  OpenCall begin(std::string first = {}, Deadline deadline = Deadline::never()) {
    static const std::vector<Field> headers = {{"content-type", "application/grpc"}, {"grpc-encoding", "gzip"}};
    Envelope call = envelope("", "/shop.v1.Orders/Watch");
    call.headers = headers;
    Buffer bytes(std::move(first));
    auto opened = links_->capability.open(call, bytes, deadline);
    EXPECT_TRUE(opened);
    return *std::move(opened);
  }
  Result<Reply> head_of(OpenCall& call) { return run(loop_, call.reply(Deadline::never())); }
  std::string next(Reply& reply) {
    auto piece = run(loop_, reply.rest.next(Deadline::never()));
    EXPECT_TRUE(piece) << (piece ? "" : piece.error().message);
    return piece && *piece ? (*piece)->to_string() : std::string();
  }
  Result<void> write(OpenCall& call, std::string bytes) {
    return run(loop_, call.body.write(Buffer(std::move(bytes)), Deadline::never()));
  }
};

TEST_F(AppStreamTest, MessagesGoBothWaysAsTheyComeThenTheEnd) {
  EchoApp app(loop_, {5, "gone", {}, {{"x-head", "h"}, {"grpc-encoding", "gzip"}}, {{"x-tail", "t"}}});
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));
  auto reply = head_of(call);
  ASSERT_TRUE(reply) << reply.error().message;

  const std::string first = next(*reply);
  ASSERT_TRUE(write(call, framed("two")));
  const std::string second = next(*reply);
  ASSERT_TRUE(run(loop_, call.body.finish(Deadline::never())));
  const std::string after = next(*reply);

  EXPECT_EQ(first, framed("one"));
  EXPECT_EQ(second, framed("two"));
  EXPECT_EQ(after, "");
  EXPECT_EQ(reply->head.headers().get("x-head"), "h");
  EXPECT_EQ(reply->head.headers().get("grpc-encoding"), "gzip");
  const BodyEnd& end = reply->rest.end();
  EXPECT_EQ(end.status, 5);
  EXPECT_EQ(end.message, "gone");
  ASSERT_EQ(end.trailers.size(), 1U);
  EXPECT_EQ(end.trailers[0].second, "t");
  EXPECT_EQ(app.heads[0].header("grpc-encoding"), "gzip");
  EXPECT_EQ(app.heads[0].header("grpc-timeout"), "");
}

Task<void> write_all(BodyWriter writer, const std::string& content) {
  for (std::size_t at = 0; at < content.size(); at += 100'000) {
    auto writing = writer.write(Buffer::copy_of(std::string_view(content).substr(at, 100'000)), Deadline::never());
    const auto written = co_await std::move(writing);
    if (!written) co_return;
  }
  auto finishing = writer.finish(Deadline::never());
  [[maybe_unused]] const auto finished = co_await std::move(finishing);
}

std::string many_bytes(std::size_t size) {
  std::string bytes(size, ' ');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i * 31 % 26);
  return bytes;
}

TEST_F(AppStreamTest, WindowsOpenAsBytesAreTakenSoThatMuchPasses) {
  const std::string content = many_bytes(8 << 20);
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin();
  scope_.spawn(write_all(std::move(call.body), content));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);

  const auto all = run(loop_, reply->rest.all(content.size(), Deadline::never()));

  ASSERT_TRUE(all) << all.error().message;
  EXPECT_TRUE(*all == content);
}

TEST_F(AppStreamTest, ReaderThatTakesNothingStopsTheApp) {
  const std::string content = many_bytes(8 << 20);
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin();
  scope_.spawn(write_all(std::move(call.body), content));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);

  pass_time(std::chrono::seconds(1));

  // What may be under way: the bus' credit, a window and a socket's buffers each way.
  EXPECT_GT(app.echoed, 256U << 10);
  EXPECT_LT(app.echoed, 2U << 20);
  const auto all = run(loop_, reply->rest.all(content.size(), Deadline::never()));
  ASSERT_TRUE(all);
  EXPECT_TRUE(*all == content);
}

TEST_F(AppStreamTest, CallThatIsDroppedIsResetAtTheApp) {
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  {
    OpenCall call = begin(framed("one"));
    auto reply = head_of(call);
    ASSERT_TRUE(reply);
    next(*reply);
  }

  run_until(loop_, [&] { return app.streams.at(0)->closed(); });

  EXPECT_EQ(channel_->calls_in_flight(), 0U);
  EXPECT_FALSE(app.streams[0]->ended());
}

TEST_F(AppStreamTest, WriterThatFailsResetsTheStream) {
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);
  next(*reply);

  call.body.fail({Errc::kCancelled, "no more"});
  run_until(loop_, [&] { return app.streams.at(0)->closed(); });
  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().code, Errc::kCancelled);
}

TEST_F(AppStreamTest, AppThatDiesOverAStreamEndsItInAnErrorNotInAnEnd) {
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);
  next(*reply);

  app.server.stop();
  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().code, Errc::kUnknown);
}

TEST_F(AppStreamTest, AnswerThatIsAHeadAloneIsTheEndOfAnEmptyStream) {
  Http2Server app(loop_, [](std::shared_ptr<Http2Stream> stream) -> Task<void> {
    const std::vector<Field> head = {
        {":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "12"}, {"x-tail", "t"}};
    stream->send_head(head, true);
    co_return;
  });
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));

  auto reply = head_of(call);

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.headers().size(), 0U);
  EXPECT_EQ(next(*reply), "");
  EXPECT_EQ(reply->rest.end().status, 12);
  ASSERT_EQ(reply->rest.end().trailers.size(), 1U);
  EXPECT_EQ(reply->rest.end().trailers[0].first, "x-tail");
}

TEST_F(AppStreamTest, StreamWithoutAStatusIsAnErrorNotAnEnd) {
  Http2Server app(loop_, [](std::shared_ptr<Http2Stream> stream) -> Task<void> {
    testing::send_rpc_head(*stream, {});
    stream->finish();
    co_return;
  });
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);

  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().code, Errc::kInternal);
}

Task<void> nothing_more() { co_return; }

TEST_F(AppStreamTest, HttpStatusOfAnAppIsItsAnswerInGrpcsCodes) {
  const std::vector<std::pair<std::string, Errc>> table = {
      {"404", Errc::kUnimplemented}, {"503", Errc::kUnavailable}, {"401", Errc::kUnauthenticated}};
  std::string status;
  Http2Server app(loop_, [&](std::shared_ptr<Http2Stream> stream) {
    const std::vector<Field> head = {{":status", status}, {"content-type", "text/html"}};
    stream->send_head(head, true);
    return nothing_more();
  });
  open_and_link(config_for(app, "grpc"));
  for (const auto& [answered, code] : table) {
    status = answered;
    OpenCall call = begin(framed("one"));

    auto reply = head_of(call);

    ASSERT_TRUE(reply) << answered;
    EXPECT_EQ(next(*reply), "");
    EXPECT_EQ(reply->rest.end().status, static_cast<std::uint16_t>(code)) << answered;
    EXPECT_EQ(reply->rest.end().message, "the app answered with HTTP status " + answered);
  }
}

TEST_F(AppStreamTest, AnswerThatIsNoGrpcIsAnError) {
  Http2Server app(loop_, [&](std::shared_ptr<Http2Stream> stream) {
    const std::vector<Field> head = {{":status", "200"}, {"content-type", "text/html"}};
    stream->send_head(head, true);
    return nothing_more();
  });
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"));

  const auto reply = head_of(call);

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnknown);
}

TEST_F(AppStreamTest, StreamIsGivenUpAtItsDeadline) {
  EchoApp app(loop_);
  open_and_link(config_for(app, "grpc"));
  OpenCall call = begin(framed("one"), loop_.deadline_in(std::chrono::seconds(2)));
  auto reply = head_of(call);
  ASSERT_TRUE(reply);
  next(*reply);

  pass_time(std::chrono::seconds(3));
  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  EXPECT_FALSE(rest);
  EXPECT_TRUE(app.streams[0]->closed());
  EXPECT_EQ(app.heads[0].header("grpc-timeout"), "2000m");
}

TEST_F(AppStreamTest, ManyStreamsShareTheConnectionUpToTheAppsLimit) {
  Http2Session::Options options;
  options.max_streams = 2;
  EchoApp app(loop_);
  app.server.limit(options);
  open_and_link(config_for(app, "grpc"));
  std::vector<OpenCall> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(begin(framed("one")));
  run_until(loop_, [&] { return app.heads.size() == 2; });
  pass_time(std::chrono::seconds(1));
  EXPECT_EQ(app.heads.size(), 2U);

  ASSERT_TRUE(run(loop_, calls[0].body.finish(Deadline::never())));
  auto first = head_of(calls[0]);
  ASSERT_TRUE(first);
  ASSERT_TRUE(run(loop_, first->rest.all(100, Deadline::never())));

  run_until(loop_, [&] { return app.heads.size() == 3; });
}

}  // namespace
}  // namespace caisson::gateway
