#include "gateway/http1_parser.hpp"

#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

struct Seen {
  std::string heads;
  std::string body;
  int requests = 0;
  std::optional<Errc> error;
};

/// Feeds `bytes` in pieces of `size`, as a connection does.
Seen parse(std::string_view bytes, std::size_t size, std::size_t limit = 4096) {
  Http1Parser parser(limit);
  Seen seen;
  std::string input;
  bool in_body = false;
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    input += bytes.substr(at, size);
    while (true) {
      if (in_body && parser.done()) {
        in_body = false;
        ++seen.requests;
        parser.next_request();
      }
      if (input.empty()) break;
      const auto step = parser.feed(input);
      if (!step) {
        seen.error = step.error().code;
        return seen;
      }
      seen.body += step->body;
      if (step->progress == Http1Parser::Progress::kHead) {
        in_body = true;
        const RequestHead& head = parser.head();
        seen.heads += std::string(head.method) + " " + std::string(head.path) + "?" + std::string(head.query);
        for (const Field& field : head.fields) {
          seen.heads += "|" + std::string(field.name) + ":" + std::string(field.value);
        }
        seen.heads += "\n";
      }
      input.erase(0, step->consumed);
      if (step->consumed == 0 && !(in_body && parser.done())) break;
    }
  }
  return seen;
}

constexpr std::string_view kThree =
    "\r\nGET /a/b%20c?x=1&y HTTP/1.1\r\nHost: h\r\nX-Long:  value \r\n\r\n"
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    "PUT /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: "
    "t\r\n\r\n";

TEST(Http1ParserTest, PipelinedRequestsReadTheSameHoweverTheyAreSplit) {
  const Seen whole = parse(kThree, kThree.size());
  ASSERT_FALSE(whole.error);
  EXPECT_EQ(whole.requests, 3);
  EXPECT_EQ(whole.body, "helloabcdefg");
  EXPECT_EQ(whole.heads,
            "GET /a/b%20c?x=1&y|Host:h|X-Long:value\nPOST /p?|Host:h|Content-Length:5\n"
            "PUT /q?|Host:h|Transfer-Encoding:chunked\n");
  for (std::size_t size = 1; size < kThree.size(); ++size) {
    const Seen split = parse(kThree, size);
    ASSERT_FALSE(split.error) << size;
    EXPECT_EQ(split.requests, 3) << size;
    EXPECT_EQ(split.body, whole.body) << size;
    EXPECT_EQ(split.heads, whole.heads) << size;
  }
}

TEST(Http1ParserTest, WhatIsNoRequestIsRefused) {
  for (const std::string_view bad :
       {"GARBAGE\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/9.9\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET x HTTP/1.1\r\nHost: h\r\n\r\n"}) {
    const Seen seen = parse(bad, bad.size());
    ASSERT_TRUE(seen.error) << bad;
    EXPECT_EQ(*seen.error, Errc::kInvalidArgument) << bad;
  }
}

TEST(Http1ParserTest, OtherTransferCodingsAreNotImplemented) {
  const Seen seen = parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 500);
  EXPECT_EQ(seen.error, Errc::kUnimplemented);
}

TEST(Http1ParserTest, AHeadOverTheLimitIsRefusedBeforeItsEndHasCome) {
  const std::string endless = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(500, 'x');
  EXPECT_EQ(parse(endless, 7, 256).error, Errc::kOutOfRange);
  EXPECT_EQ(parse(endless, endless.size(), 256).error, Errc::kOutOfRange);
  EXPECT_FALSE(parse(endless, 7, 4096).error);
}

TEST(Http1ParserTest, AChunkHeaderWithoutEndIsRefused) {
  const std::string endless =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;" + std::string(20'000, 'x');
  EXPECT_EQ(parse(endless, 1000).error, Errc::kInvalidArgument);
}

TEST(Http1ParserTest, TheAbsoluteFormNamesTheSamePath) {
  EXPECT_EQ(parse("GET http://host:80/x?y HTTP/1.1\r\nHost: h\r\n\r\n", 99).heads, "GET /x?y|Host:h\n");
}

}  // namespace
}  // namespace caisson::gateway
