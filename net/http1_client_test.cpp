#include "net/http1_client.hpp"

#include <gtest/gtest.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::net {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::HttpServer;
using testing::reply_text;
using testing::SeenRequest;
using testing::ServerConnection;

struct Answered {
  std::uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

class Http1ClientTest : public ::testing::Test {
 protected:
  Http1Client client_of(const HttpServer& server) {
    Http1Client::Options options;
    options.hung_up = [this] { ++hung_up_; };
    return Http1Client(loop_, server.endpoint(), options);
  }

  static Task<Result<Answered>> answer_of(Http1Client& client, HttpRequestHead head, HttpRequestBody body,
                                          Deadline deadline) {
    CO_ASSIGN(HttpReply reply, co_await client.call(head, std::move(body), deadline));
    Answered answered;
    answered.status = reply.head().status;
    answered.headers = reply.head().headers;
    while (true) {
      CO_ASSIGN(auto piece, co_await reply.next(deadline));
      if (!piece) co_return answered;
      answered.body += piece->view();
    }
  }

  Result<Answered> send(Http1Client& client, std::string_view method, std::string_view path, std::string_view body = {},
                        std::vector<Field> headers = {}) {
    HttpRequestHead head;
    head.method = method;
    head.path = path;
    head.headers = headers;
    HttpRequestBody content;
    content.first = body;
    return run(loop_, answer_of(client, head, std::move(content), Deadline::never()));
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  int hung_up_ = 0;
};

TEST_F(Http1ClientTest, RequestsOneAfterTheOtherShareOneConnection) {
  HttpServer server(loop_, [](const SeenRequest& seen) { return reply_text(200, seen.target); });
  Http1Client client = client_of(server);

  const auto first = send(client, "GET", "/one");
  const auto second = send(client, "POST", "/two", "body");

  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(first->body, "/one");
  EXPECT_EQ(second->body, "/two");
  EXPECT_EQ(server.accepted, 1U);
  EXPECT_EQ(server.requests[1].body, "body");
}

TEST_F(Http1ClientTest, AnswerThatClosesTheConnectionIsFollowedByANewOne) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x", "Connection: close\r\n"); });
  Http1Client client = client_of(server);

  const auto first = send(client, "GET", "/");
  const auto second = send(client, "GET", "/");

  ASSERT_TRUE(first && second);
  EXPECT_EQ(server.accepted, 2U);
  EXPECT_EQ(client.idle_connections(), 0U);
}

TEST_F(Http1ClientTest, KeptConnectionThatWasClosedIsNotedAndReplaced) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);
  ASSERT_TRUE(send(client, "GET", "/"));
  ASSERT_EQ(client.idle_connections(), 1U);

  server.hang_up();
  run_until(loop_, [&] { return hung_up_ == 1; });
  const auto answer = send(client, "POST", "/", "again");

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(server.accepted, 2U);
}

/// Answers one request per connection and closes the second time without a byte.
Task<void> answer_once(ServerConnection& connection, int& seen) {
  SeenRequest request;
  if (!co_await connection.read_request(request)) co_return;
  ++seen;
  co_await connection.write(reply_text(200, "x"));
  if (co_await connection.read_request(request)) ++seen;
}

TEST_F(Http1ClientTest, IdempotentRequestOnAKeptConnectionThatClosesWithoutAByteIsSentOnceMore) {
  int seen = 0;
  HttpServer server(loop_, [&](ServerConnection& connection) { return answer_once(connection, seen); });
  Http1Client client = client_of(server);
  ASSERT_TRUE(send(client, "GET", "/"));

  const auto again = send(client, "GET", "/");

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(server.accepted, 2U);
}

TEST_F(Http1ClientTest, PostThatMayHaveBeenTakenIsNotSentAgain) {
  int seen = 0;
  HttpServer server(loop_, [&](ServerConnection& connection) { return answer_once(connection, seen); });
  Http1Client client = client_of(server);
  ASSERT_TRUE(send(client, "GET", "/"));

  const auto lost = send(client, "POST", "/", "order");

  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kUnknown);
  EXPECT_EQ(seen, 2);
}

TEST_F(Http1ClientTest, NobodyThereIsUnavailable) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);
  server.stop();

  const auto refused = send(client, "GET", "/");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
}

TEST_F(Http1ClientTest, ConnectionHeadersStayOnTheirConnection) {
  HttpServer server(loop_, [](const SeenRequest&) {
    return reply_text(200, "x",
                      "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Yours: 2\r\n");
  });
  Http1Client client = client_of(server);

  const auto answer = send(client, "GET", "/", {},
                           {{"Connection", "X-Hop"},
                            {"X-Hop", "1"},
                            {"Te", "trailers"},
                            {"Host", "elsewhere"},
                            {"Content-Length", "7"},
                            {"X-Kept", "yes"}});

  ASSERT_TRUE(answer) << answer.error().message;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(answer->headers, (Pairs{{"X-Yours", "2"}, {"Content-Length", "1"}}));
  const Pairs expected = {{"Host", server.endpoint().text}, {"X-Kept", "yes"}};
  EXPECT_EQ(server.requests[0].headers, expected);
}

TEST_F(Http1ClientTest, ChunkedAnswerIsPutTogetherAndTheConnectionKept) {
  HttpServer server(loop_, [](const SeenRequest&) {
    return std::string(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;note=x\r\nhello\r\n7\r\n, world\r\n0\r\nTrailer: t\r\n\r\n");
  });
  Http1Client client = client_of(server);

  const auto answer = send(client, "GET", "/");

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "hello, world");
  EXPECT_TRUE(answer->headers.empty());
  EXPECT_EQ(client.idle_connections(), 1U);
}

TEST_F(Http1ClientTest, AnswerWithoutLengthEndsWithItsConnection) {
  HttpServer server(loop_, [](ServerConnection& connection) -> Task<void> {
    SeenRequest request;
    co_await connection.read_request(request);
    co_await connection.write("HTTP/1.0 200 OK\r\n\r\nall of it");
  });
  Http1Client client = client_of(server);

  const auto answer = send(client, "GET", "/");

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "all of it");
  EXPECT_EQ(client.idle_connections(), 0U);
}

TEST_F(Http1ClientTest, AnswerToHeadHasNoBodyWhateverItsLength) {
  HttpServer server(loop_,
                    [](const SeenRequest&) { return std::string("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"); });
  Http1Client client = client_of(server);

  const auto answer = send(client, "HEAD", "/");

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "");
  EXPECT_EQ(client.idle_connections(), 1U);
}

class BrokenAnswerTest : public Http1ClientTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(BrokenAnswerTest, IsAnErrorAndItsConnectionIsNotKept) {
  HttpServer server(loop_, [](ServerConnection& connection) -> Task<void> {
    SeenRequest request;
    co_await connection.read_request(request);
    co_await connection.write(GetParam());
  });
  Http1Client client = client_of(server);

  const auto answer = send(client, "GET", "/");

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kUnknown);
  EXPECT_EQ(client.idle_connections(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenAnswerTest,
    ::testing::Values("", "garbage\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
                      "HTTP/1.1 042 Low\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
                      "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
                      "HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n",
                      "HTTP/1.1 100 Continue\r\n\r\n"));

TEST_F(Http1ClientTest, WhatWouldBeNoHttpIsNotSent) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);

  const auto method = send(client, "GET /evil HTTP/1.1\r\n", "/");
  const auto path = send(client, "GET", "/a b");
  const auto fragment = send(client, "GET", "/a?b=c");
  const auto value = send(client, "GET", "/", {}, {{"X", "a\r\nY: b"}});
  const auto name = send(client, "GET", "/", {}, {{"X:", "a"}});

  for (const auto* refused : {&method, &path, &fragment, &value, &name}) {
    ASSERT_FALSE(*refused);
    EXPECT_EQ(refused->error().code, Errc::kInvalidArgument);
  }
  EXPECT_EQ(server.accepted, 0U);
}

TEST_F(Http1ClientTest, SlowUpstreamIsGivenUpAtTheDeadlineAndItsConnectionClosed) {
  bool closed = false;
  int seen = 0;
  HttpServer server(loop_, [&](ServerConnection& connection) -> Task<void> {
    auto serve = [](ServerConnection& to, bool& ended, int& count) -> Task<void> {
      SeenRequest request;
      co_await to.read_request(request);
      ++count;
      ended = (co_await to.read_some()).empty();
    };
    return serve(connection, closed, seen);
  });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  HttpRequestBody body;
  std::optional<Result<Answered>> answer;
  TaskScope scope(loop_);
  auto ask = [](Task<Result<Answered>> task, std::optional<Result<Answered>>& to) -> Task<void> {
    to.emplace(co_await std::move(task));
  };
  scope.spawn(ask(answer_of(client, head, std::move(body), loop_.deadline_in(std::chrono::seconds(5))), answer));
  run_until(loop_, [&] { return seen == 1; });

  clock_.advance(std::chrono::seconds(5));
  run_until(loop_, [&] { return answer.has_value(); });

  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().code, Errc::kDeadlineExceeded);
  run_until(loop_, [&] { return closed; });
}

/// Sends every piece of a body back as soon as it has come.
Task<void> echo(ServerConnection& connection, std::size_t size) {
  SeenRequest request;
  if (!co_await connection.read_head(request)) co_return;
  co_await connection.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  for (std::size_t echoed = 0; echoed < size;) {
    std::string bytes = co_await connection.read_some();
    if (bytes.empty()) co_return;
    echoed += bytes.size();
    co_await connection.write(std::move(bytes));
  }
}

std::string eight_mebibytes() {
  std::string bytes(8 * 1024 * 1024, ' ');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i * 31 % 26);
  return bytes;
}

/// Yields `content` in pieces of an odd size.
HttpRequestBody::Next pieces_of(const std::string& content) {
  return [&content, at = std::size_t{0}](Deadline) mutable -> Task<Result<std::optional<Buffer>>> {
    auto give = [](std::optional<Buffer> piece) -> Task<Result<std::optional<Buffer>>> { co_return piece; };
    if (at == content.size()) return give(std::nullopt);
    const std::size_t size = std::min<std::size_t>(70'001, content.size() - at);
    at += size;
    return give(Buffer::copy_of(std::string_view(content).substr(at - size, size)));
  };
}

TEST_F(Http1ClientTest, BodiesStreamInBothDirectionsAtTheSameTime) {
  const std::string content = eight_mebibytes();
  HttpServer server(loop_, [&](ServerConnection& connection) { return echo(connection, content.size()); });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  head.method = "POST";
  HttpRequestBody body;
  body.rest = pieces_of(content);
  body.length = content.size();

  const auto answer = run(loop_, answer_of(client, head, std::move(body), Deadline::never()));

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == content);
}

TEST_F(Http1ClientTest, WholeBodyLargerThanTheSocketsIsEchoedWithoutADeadlock) {
  const std::string content = eight_mebibytes();
  HttpServer server(loop_, [&](ServerConnection& connection) { return echo(connection, content.size()); });
  Http1Client client = client_of(server);

  const auto answer = send(client, "POST", "/", content);

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == content);
}

TEST_F(Http1ClientTest, BodyOfUnknownLengthGoesOutInChunks) {
  const std::string content = eight_mebibytes();
  HttpServer server(loop_, [](const SeenRequest& seen) { return reply_text(200, seen.body); });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  head.method = "PUT";
  HttpRequestBody body;
  body.first = "first,";
  body.rest = pieces_of(content);

  const auto answer = run(loop_, answer_of(client, head, std::move(body), Deadline::never()));

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->body == "first," + content);
  EXPECT_EQ(client.idle_connections(), 1U);
}

TEST_F(Http1ClientTest, BodyThatFailsEndsTheCallWithItsError) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  head.method = "POST";
  HttpRequestBody body;
  body.first = "begun";
  body.rest = [](Deadline) -> Task<Result<std::optional<Buffer>>> {
    co_return Error{Errc::kCancelled, "the client went away"};
  };

  const auto answer = run(loop_, answer_of(client, head, std::move(body), Deadline::never()));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kCancelled);
  EXPECT_TRUE(server.requests.empty());
}

TEST_F(Http1ClientTest, BodyOtherThanItsAnnouncedLengthIsRefused) {
  const std::string content = "twelve bytes";
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);
  for (const std::uint64_t announced : {11U, 13U}) {
    HttpRequestHead head;
    head.method = "POST";
    HttpRequestBody body;
    body.rest = pieces_of(content);
    body.length = announced;

    const auto answer = run(loop_, answer_of(client, head, std::move(body), Deadline::never()));

    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::kInvalidArgument);
  }
}

TEST_F(Http1ClientTest, AnswerGivenBeforeTheBodyWasReadArrives) {
  HttpServer server(loop_, [](ServerConnection& connection) -> Task<void> {
    SeenRequest request;
    co_await connection.read_head(request);
    co_await connection.write(reply_text(413, "too much"));
    while (!(co_await connection.read_some()).empty()) {
    }
  });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  head.method = "POST";
  HttpRequestBody body;
  WaitQueue never;
  body.rest = [&](Deadline) -> Task<Result<std::optional<Buffer>>> {
    auto wait = [](WaitQueue& queue, EventLoop& loop) -> Task<Result<std::optional<Buffer>>> {
      co_await queue.wait(loop, Deadline::never());
      co_return std::optional<Buffer>();
    };
    return wait(never, loop_);
  };

  const auto answer = run(loop_, answer_of(client, head, std::move(body), Deadline::never()));

  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 413);
  EXPECT_EQ(answer->body, "too much");
  EXPECT_EQ(client.idle_connections(), 0U);
}

TEST_F(Http1ClientTest, UnusedConnectionsAreClosedExceptTheLast) {
  HttpServer server(loop_, [](const SeenRequest&) { return reply_text(200, "x"); });
  Http1Client client = client_of(server);
  HttpRequestHead head;
  HttpRequestBody none;
  HttpRequestBody none_either;
  {
    const auto first = run(loop_, client.call(head, std::move(none), Deadline::never()));
    const auto second = run(loop_, client.call(head, std::move(none_either), Deadline::never()));
    ASSERT_TRUE(first && second);
  }
  ASSERT_EQ(client.idle_connections(), 2U);

  clock_.advance(std::chrono::seconds(31));
  run_until(loop_, [&] { return client.idle_connections() < 2; });

  EXPECT_EQ(client.idle_connections(), 1U);
  EXPECT_EQ(hung_up_, 0);
}

}  // namespace
}  // namespace caisson::net
