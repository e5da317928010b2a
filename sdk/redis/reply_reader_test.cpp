#include "sdk/redis/reply_reader.hpp"

#include <gtest/gtest.h>

#include <string>

#include "sdk/redis/reply_errors.hpp"

namespace caisson::redis {
namespace {

std::optional<Reply> one_reply(std::string_view bytes) {
  ReplyReader reader;
  reader.feed(bytes);
  auto reply = reader.next();
  EXPECT_TRUE(reply) << reply.error().message;
  return reply ? *std::move(reply) : std::nullopt;
}

TEST(ReplyReaderTest, EveryKindIsRead) {
  using namespace std::string_view_literals;
  const auto whole = one_reply("*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\0b\r\n$-1\r\n*2\r\n*-1\r\n*0\r\n"sv);

  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->items.size(), 6U);
  EXPECT_EQ(whole->items[0].kind, ReplyKind::kStatus);
  EXPECT_TRUE(whole->items[1].is_error());
  EXPECT_EQ(whole->items[2].integer, -7);
  EXPECT_EQ(whole->items[3].text, std::string("a\0b", 3));
  EXPECT_TRUE(whole->items[4].is_nil());
  ASSERT_EQ(whole->items[5].items.size(), 2U);
  EXPECT_TRUE(whole->items[5].items[0].is_nil());
  EXPECT_EQ(whole->items[5].items[1].kind, ReplyKind::kArray);
}

TEST(ReplyReaderTest, RepliesMayComeByteByByte) {
  const std::string bytes = "*2\r\n*2\r\n$1\r\na\r\n:1\r\n$5\r\nhello\r\n+next\r\n";
  ReplyReader reader;
  std::vector<Reply> replies;

  for (const char byte : bytes) {
    reader.feed({&byte, 1});
    auto reply = reader.next();
    ASSERT_TRUE(reply);
    if (*reply) replies.push_back(**std::move(reply));
  }

  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].items[0].items[1].integer, 1);
  EXPECT_EQ(replies[0].items[1].text, "hello");
  EXPECT_EQ(replies[1].text, "next");
}

TEST(ReplyReaderTest, WhatIsNoReplyIsAnErrorAndStaysOne) {
  for (const std::string bytes : {"HTTP/1.1 400 Bad Request\r\n", "$x\r\n", "*-2\r\n", "$-2\r\n", "\r\n"}) {
    ReplyReader reader;
    reader.feed(bytes);
    const auto reply = reader.next();
    ASSERT_FALSE(reply) << bytes;
    EXPECT_EQ(reply.error().code, Errc::kDataLoss);
    reader.feed("+OK\r\n");
    EXPECT_FALSE(reader.next()) << bytes;
  }
}

TEST(ReplyReaderTest, ArraysThatOnlyClaimToBeLongTakeNoMemory) {
  ReplyReader reader;
  for (int i = 0; i < 6; ++i) reader.feed("*1000000000\r\n");
  auto reply = reader.next();
  EXPECT_TRUE(!reply || !*reply);
}

TEST(ReplyReaderTest, TooManyItemsAreAnError) {
  ReplyReader reader;
  reader.feed("*2000000\r\n");
  std::string piece;
  for (int i = 0; i < 10'000; ++i) piece += ":1\r\n";
  Result<std::optional<Reply>> reply = std::optional<Reply>();

  for (int i = 0; i < 200 && reply; ++i) {
    reader.feed(piece);
    reply = reader.next();
  }

  ASSERT_FALSE(reply);
  EXPECT_NE(reply.error().message.find("items"), std::string::npos);
}

TEST(ReplyReaderTest, DeepNestingIsAnError) {
  ReplyReader reader;
  for (int i = 0; i < 20; ++i) reader.feed("*1\r\n");
  EXPECT_FALSE(reader.next());
}

TEST(ReplyReaderTest, ALineWithoutAnEndIsAnError) {
  ReplyReader reader;
  reader.feed("+");
  Result<std::optional<Reply>> reply = std::optional<Reply>();
  for (int i = 0; i < 40 && reply; ++i) {
    reader.feed(std::string(4096, 'x'));
    reply = reader.next();
  }
  EXPECT_FALSE(reply);
}

TEST(ReplyReaderTest, AStringBeyondTheLimitIsAnErrorBeforeItIsComplete) {
  ReplyReader reader;
  reader.feed("$200000000\r\n");
  const std::string piece(64U << 10, 'x');
  Result<std::optional<Reply>> reply = std::optional<Reply>();
  std::size_t fed = 0;
  for (; fed < 300'000'000 && reply; fed += piece.size()) {
    reader.feed(piece);
    reply = reader.next();
  }
  ASSERT_FALSE(reply);
  EXPECT_LE(fed, ReplyReader::kMaxBytes + 2 * piece.size());
}

TEST(ReplyErrorsTest, OnlyWhatWasRefusedBeforeItRanIsARefusal) {
  const auto error = [](std::string text) {
    Reply reply;
    reply.kind = ReplyKind::kError;
    reply.text = std::move(text);
    return reply;
  };

  EXPECT_EQ(refusal_of(error("LOADING Redis is loading the dataset in memory"))->code, Errc::kUnavailable);
  EXPECT_EQ(refusal_of(error("OOM command not allowed"))->code, Errc::kResourceExhausted);
  EXPECT_FALSE(refusal_of(error("ERR wrong number of arguments")));
  EXPECT_FALSE(refusal_of(error("LOADINGS")));
  EXPECT_FALSE(refusal_of(error("")));
  EXPECT_FALSE(refusal_of(Reply{ReplyKind::kString, "READONLY x", 0, {}}));
  EXPECT_TRUE(is_read_only(error("READONLY You can't write against a read only replica.")));
}

}  // namespace
}  // namespace caisson::redis
