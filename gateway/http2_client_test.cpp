#include "gateway/http2_client.hpp"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/testing/http2_frame.hpp"
#include "gateway/testing/http2_server.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using net::HttpRequestBody;
using net::HttpRequestHead;
using net::testing::HttpServer;
using net::testing::ServerConnection;
using testing::frame;
using testing::Http2Server;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answered {
  std::uint16_t status = 0;
  Headers headers;
  std::string body;
};

class Http2ClientTest : public ::testing::Test {
 protected:
  void connect_to(net::Endpoint endpoint) {
    Http2Client::Options options;
    options.hung_up = [this] { ++hung_up_; };
    client_ = std::make_unique<Http2Client>(loop_, std::move(endpoint), std::move(options));
  }

  static Task<Result<Answered>> whole(Http2Client& client, HttpRequestHead head, HttpRequestBody body,
                                      Deadline deadline) {
    auto calling = client.call(head, std::move(body), deadline);
    CO_ASSIGN(Http2Reply reply, co_await std::move(calling));
    Answered answered;
    answered.status = reply.head().status;
    answered.headers = reply.head().headers;
    while (true) {
      auto reading = reply.next(deadline);
      CO_ASSIGN(auto piece, co_await std::move(reading));
      if (!piece) co_return answered;
      answered.body += piece->view();
    }
  }
  Result<Answered> get(std::string_view path = "/") {
    HttpRequestHead head;
    head.path = path;
    return run(loop_, whole(*client_, head, {}, loop_.deadline_in(std::chrono::seconds(60))));
  }
  /// Begins a GET whose answer is put into `to`.
  TaskScope::Id begin(std::string_view path, std::optional<Result<Answered>>& to,
                      Deadline deadline = Deadline::never()) {
    struct Keep {
      static Task<void> result(Task<Result<Answered>> task, std::optional<Result<Answered>>& to) {
        to.emplace(co_await std::move(task));
      }
    };
    HttpRequestHead head;
    head.path = path;
    return scope_.spawn(Keep::result(whole(*client_, head, {}, deadline), to));
  }
  /// Lets the test's time pass, and everything happen that it brings.
  void pass_time(Nanos span) {
    for (const Nanos end = clock_.now() + span; clock_.now() < end; clock_.advance(std::chrono::milliseconds(5))) {
      while (loop_.turn(Nanos::zero())) {
      }
    }
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  int hung_up_ = 0;
  std::unique_ptr<Http2Client> client_;
  TaskScope scope_{loop_};
};

/// Answers with the path, and notes what it was asked; waits with paths that begin with /wait.
class PathServer {
 public:
  explicit PathServer(EventLoop& loop)
      : loop_(loop), server(loop, [this](std::shared_ptr<Http2Stream> stream) { return serve(std::move(stream)); }) {}

 private:
  Task<void> serve(std::shared_ptr<Http2Stream> stream) {
    Headers seen;
    for (std::size_t i = 0; i < stream->head().size(); ++i) {
      seen.emplace_back(stream->head()[i].name, stream->head()[i].value);
    }
    heads.push_back(seen);
    streams.push_back(stream);
    if (refuse > 0) {
      --refuse;
      co_return stream->reset(NGHTTP2_REFUSED_STREAM);
    }
    while (!stream->ended()) {
      auto waiting = stream->more(Deadline::never());
      const auto more = co_await std::move(waiting);
      if (!more) co_return;
      bodies += stream->take();
    }
    bodies += stream->take();
    const std::string path(stream->head().get(":path"));
    if (path.starts_with("/wait")) co_await go.wait(loop_, Deadline::never());
    const std::vector<Field> head = {{":status", "201"}, {"x-reply", "r"}};
    stream->send_head(head, false);
    stream->send(Buffer::copy_of(path));
    stream->finish();
  }

  EventLoop& loop_;

 public:
  int refuse = 0;
  WaitQueue go;
  std::string bodies;
  std::vector<Headers> heads;
  std::vector<std::shared_ptr<Http2Stream>> streams;
  Http2Server server;
};

TEST_F(Http2ClientTest, RequestGoesOutInTheFormOfHttp2) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  const std::vector<Field> headers = {{"X-Upper", " padded "}, {"Connection", "x-hop"}, {"X-Hop", "1"},
                                      {"TE", "trailers"},      {"Host", "other"},       {"Content-Length", "99"}};
  HttpRequestHead head;
  head.method = "POST";
  head.path = "/a%2Fb";
  head.query = "x=1";
  head.headers = headers;
  HttpRequestBody body;
  body.first = "content";
  body.length = 7;

  const auto answer = run(loop_, whole(*client_, head, std::move(body), Deadline::never()));

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->headers, (Headers{{"x-reply", "r"}}));
  EXPECT_EQ(answer->body, "/a%2Fb?x=1");
  EXPECT_EQ(upstream.bodies, "content");
  const std::string authority = upstream.server.endpoint().text;
  EXPECT_EQ(upstream.heads.at(0), (Headers{{":method", "POST"},
                                           {":scheme", "http"},
                                           {":authority", authority},
                                           {":path", "/a%2Fb?x=1"},
                                           {"x-upper", "padded"},
                                           {"te", "trailers"},
                                           {"content-length", "7"}}));
}

TEST_F(Http2ClientTest, RequestsAtOnceShareOneConnectionThatIsBeingOpened) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  std::vector<std::optional<Result<Answered>>> answers(5);

  for (auto& answer : answers) begin("/", answer);
  run_until(loop_, [&] { return std::ranges::all_of(answers, [](const auto& answer) { return answer.has_value(); }); });

  for (const auto& answer : answers) EXPECT_TRUE(*answer);
  EXPECT_EQ(upstream.server.accepted(), 1U);
  EXPECT_TRUE(client_->connected());
  EXPECT_EQ(client_->streams(), 0U);
}

TEST_F(Http2ClientTest, GoawayLetsWhatRunsFinishWhileTheNextGoesOverANewConnection) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  std::optional<Result<Answered>> running;
  begin("/wait", running);
  run_until(loop_, [&] { return upstream.heads.size() == 1; });

  upstream.server.go_away();
  run_until(loop_, [&] { return !client_->connected(); });
  const auto next = get("/next");
  upstream.go.wake_all();
  run_until(loop_, [&] { return running.has_value(); });

  EXPECT_TRUE(next);
  EXPECT_TRUE(*running);
  EXPECT_EQ(upstream.server.accepted(), 2U);
}

TEST_F(Http2ClientTest, RequestThatWasNotLookedAtIsSentOnceMore) {
  PathServer upstream(loop_);
  upstream.refuse = 1;
  connect_to(upstream.server.endpoint());

  const auto answer = get();

  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(upstream.heads.size(), 2U);
}

TEST_F(Http2ClientTest, RequestThatIsRefusedAgainIsUnavailable) {
  PathServer upstream(loop_);
  upstream.refuse = 5;
  connect_to(upstream.server.endpoint());

  const auto answer = get();

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kUnavailable);
  EXPECT_EQ(upstream.heads.size(), 2U);
}

Task<Result<std::optional<Buffer>>> no_more(Deadline) { co_return std::optional<Buffer>(); }

TEST_F(Http2ClientTest, RequestWhoseBodyIsStillToComeIsNotSentOnceMore) {
  PathServer upstream(loop_);
  upstream.refuse = 1;
  connect_to(upstream.server.endpoint());
  HttpRequestHead head;
  head.method = "POST";
  head.path = "/";
  HttpRequestBody body;
  body.rest = no_more;

  const auto answer = run(loop_, whole(*client_, head, std::move(body), loop_.deadline_in(std::chrono::seconds(60))));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kUnavailable);
  EXPECT_EQ(upstream.heads.size(), 1U);
}

TEST_F(Http2ClientTest, RequestWaitsForRoomAmongTheStreamsOfTheUpstream) {
  PathServer upstream(loop_);
  Http2Session::Options options;
  options.max_streams = 1;
  upstream.server.limit(options);
  connect_to(upstream.server.endpoint());
  std::optional<Result<Answered>> running;
  std::optional<Result<Answered>> waiting;
  begin("/wait", running);
  run_until(loop_, [&] { return upstream.heads.size() == 1; });

  begin("/", waiting, loop_.deadline_in(std::chrono::seconds(1)));
  pass_time(std::chrono::seconds(2));
  upstream.go.wake_all();
  run_until(loop_, [&] { return running.has_value(); });

  ASSERT_TRUE(waiting.has_value());
  ASSERT_FALSE(*waiting);
  EXPECT_EQ(waiting->error().code, Errc::kResourceExhausted);
  EXPECT_EQ(upstream.heads.size(), 1U);
  EXPECT_TRUE(*running);
  EXPECT_TRUE(get());
}

TEST_F(Http2ClientTest, UpstreamThatMovedIsCalledWhereItIsNow) {
  PathServer former(loop_);
  PathServer upstream(loop_);
  connect_to(former.server.endpoint());
  ASSERT_TRUE(get());

  client_->move_to(upstream.server.endpoint());
  ASSERT_TRUE(get());

  EXPECT_EQ(former.heads.size(), 1U);
  EXPECT_EQ(upstream.heads.size(), 1U);
}

TEST_F(Http2ClientTest, ConnectionThatBreaksLeavesTheOutcomeUnknownAndTheNextOpensAnother) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  std::optional<Result<Answered>> running;
  begin("/wait", running);
  run_until(loop_, [&] { return upstream.heads.size() == 1; });

  upstream.server.hang_up();
  run_until(loop_, [&] { return running.has_value(); });
  const auto next = get();

  ASSERT_FALSE(*running);
  EXPECT_EQ(running->error().code, Errc::kUnknown);
  EXPECT_EQ(hung_up_, 1);
  EXPECT_TRUE(next);
}

TEST_F(Http2ClientTest, UpstreamThatIsNotThereIsTriedSeldomUntilItIs) {
  PathServer upstream(loop_);
  HttpServer other(loop_, [](const auto&) { return net::testing::reply_text(400, ""); });
  connect_to(other.endpoint());

  const auto first = get();
  const auto at_once = get();
  const std::size_t tries = other.accepted;
  pass_time(std::chrono::milliseconds(100));
  const auto later = get();
  pass_time(std::chrono::milliseconds(150));
  const auto too_early = get();
  const std::size_t more_tries = other.accepted;
  client_->move_to(upstream.server.endpoint());
  const auto found = get();

  EXPECT_EQ(first.error().code, Errc::kUnavailable);
  EXPECT_EQ(at_once.error().code, Errc::kUnavailable);
  EXPECT_EQ(at_once.error().message, first.error().message);
  EXPECT_EQ(tries, 1U);
  EXPECT_FALSE(later);
  EXPECT_FALSE(too_early);
  EXPECT_EQ(more_tries, 2U);
  EXPECT_TRUE(found);
}

TEST_F(Http2ClientTest, RequestThatIsGivenUpIsResetAtTheUpstream) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  std::optional<Result<Answered>> running;
  const auto id = begin("/wait", running);
  run_until(loop_, [&] { return upstream.heads.size() == 1; });

  scope_.cancel(id);
  run_until(loop_, [&] { return upstream.streams[0]->closed(); });

  EXPECT_EQ(client_->streams(), 0U);
  EXPECT_TRUE(get());
  EXPECT_EQ(upstream.server.accepted(), 1U);
}

TEST_F(Http2ClientTest, RequestThatIsGivenUpBeforeItWentOutLeavesNothing) {
  PathServer upstream(loop_);
  connect_to(upstream.server.endpoint());
  ASSERT_TRUE(get());
  {
    TaskScope brief(loop_);
    brief.spawn([](Http2Client& client) -> Task<void> {
      auto calling = client.call({}, {}, Deadline::never());
      [[maybe_unused]] const auto answer = co_await std::move(calling);
    }(*client_));
    EXPECT_EQ(client_->streams(), 1U);
  }

  run_until(loop_, [&] { return client_->streams() == 0; });

  EXPECT_TRUE(get());
}

TEST_F(Http2ClientTest, UpstreamThatSaysNothingIsGivenUpAtTheDeadline) {
  HttpServer mute(loop_, [](ServerConnection& connection) -> Task<void> {
    while (true) {
      auto reading = connection.read_some();
      const std::string bytes = co_await std::move(reading);
      if (bytes.empty()) co_return;
    }
  });
  connect_to(mute.endpoint());
  std::optional<Result<Answered>> answer;
  begin("/", answer, loop_.deadline_in(std::chrono::seconds(1)));

  pass_time(std::chrono::seconds(2));

  ASSERT_TRUE(answer.has_value());
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().code, Errc::kUnavailable);
}

/// An upstream that says these bytes: at once, or, after SETTINGS, in answer to the first request.
class WrongBytesTest : public Http2ClientTest, public ::testing::WithParamInterface<std::string> {};

const std::string kSettings = frame(4, 0, 0, "");

/// The client has sent the head of a request.
bool has_request(std::string_view bytes) {
  constexpr std::size_t kPreface = 24;
  constexpr std::size_t kFrameHead = 9;
  for (std::size_t at = kPreface; at + kFrameHead <= bytes.size();) {
    if (bytes[at + 3] == 1) return true;
    std::size_t size = 0;
    for (std::size_t i = 0; i < 3; ++i) size = (size << 8) | static_cast<unsigned char>(bytes[at + i]);
    at += kFrameHead + size;
  }
  return false;
}

Task<void> say(ServerConnection& connection, std::string bytes) {
  const std::size_t greeting = bytes.starts_with(kSettings) ? kSettings.size() : bytes.size();
  auto greet = connection.write(bytes.substr(0, greeting));
  co_await std::move(greet);
  std::string seen;
  bool said = false;
  while (true) {
    auto reading = connection.read_some();
    const std::string piece = co_await std::move(reading);
    if (piece.empty()) co_return;
    seen += piece;
    if (said || !has_request(seen)) continue;
    said = true;
    auto saying = connection.write(bytes.substr(greeting));
    co_await std::move(saying);
  }
}

TEST_P(WrongBytesTest, UpstreamThatBreaksTheProtocolIsAnErrorAndNothingElse) {
  HttpServer server(loop_, [](ServerConnection& connection) { return say(connection, GetParam()); });
  connect_to(server.endpoint());
  std::optional<Result<Answered>> answer;
  begin("/", answer, loop_.deadline_in(std::chrono::seconds(60)));

  run_until(loop_, [&] { return answer.has_value(); });

  ASSERT_FALSE(*answer);
  EXPECT_NE(answer->error().code, Errc::kDeadlineExceeded);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongBytesTest,
    ::testing::Values("HTTP/1.1 200 OK\r\n\r\n", std::string(64, '\0'),
                      kSettings + frame(1, 4, 1, "\x01"),                        // a head that is no HPACK
                      kSettings + frame(1, 5, 1, std::string("\x40\1X\1v", 5)),  // a name in upper case, no status
                      kSettings + frame(1, 4, 2, "\x88"),                        // a stream of the server's own
                      kSettings + frame(0, 1, 1, "data"),                        // a body without its head
                      kSettings + frame(1, 5, 1, "\x80"),                        // index 0 of HPACK
                      kSettings + frame(0, 0, 1, std::string(100'000, 'x')),     // a frame over the limit
                      kSettings + frame(1, 4, 1, "\x88") + frame(3, 0, 1, std::string("\0\0\0\2", 4)),
                      kSettings + frame(7, 0, 0, std::string(8, '\0'))));  // GOAWAY of everything

TEST_F(Http2ClientTest, AnswerComesAfterItsInterimOnes) {
  const std::string early_hints(
      "\x08\x03"
      "103"
      "\0\1h\1v",
      10);
  const std::string bytes = kSettings + frame(1, 4, 1, early_hints) + frame(1, 4 | 1, 1, "\x88");
  HttpServer server(loop_, [&](ServerConnection& connection) { return say(connection, bytes); });
  connect_to(server.endpoint());

  const auto answer = get();

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->headers, Headers());
}

TEST_F(Http2ClientTest, UpstreamThatFloodsIsLetGo) {
  std::string flood = kSettings;
  for (int i = 0; i < 20'000; ++i) flood += frame(6, 0, 0, "pingping");
  HttpServer server(loop_, [&](ServerConnection& connection) { return say(connection, flood); });
  connect_to(server.endpoint());
  std::optional<Result<Answered>> answer;
  begin("/", answer, loop_.deadline_in(std::chrono::seconds(60)));

  run_until(loop_, [&] { return answer.has_value(); });

  EXPECT_FALSE(*answer);
  EXPECT_FALSE(client_->connected());
}

TEST_F(Http2ClientTest, HeadOverTheLimitIsAnError) {
  Http2Server server(loop_, [](std::shared_ptr<Http2Stream> stream) -> Task<void> {
    const std::string long_value(15'000, 'v');
    std::vector<Field> head = {{":status", "200"}};
    for (int i = 0; i < 4; ++i) head.push_back({"x-long", long_value});
    stream->send_head(head, true);
    co_return;
  });
  connect_to(server.endpoint());

  const auto answer = get();

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kUnknown);
}

}  // namespace
}  // namespace caisson::gateway
