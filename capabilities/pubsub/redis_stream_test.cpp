#include "capabilities/pubsub/redis_stream.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using redis::Reply;
using redis::ReplyKind;

Reply text(std::string value) { return {ReplyKind::kString, std::move(value), 0, {}}; }
Reply number(std::int64_t value) { return {ReplyKind::kInteger, {}, value, {}}; }
Reply list(std::vector<Reply> items) { return {ReplyKind::kArray, {}, 0, std::move(items)}; }
Reply entry(std::string id, std::vector<Reply> fields) { return list({text(std::move(id)), list(std::move(fields))}); }
Reply stream(std::vector<Reply> entries) { return list({list({text("orders"), list(std::move(entries))})}); }

std::string encoded(const redis::Command& command) {
  std::string bytes;
  command.encode(bytes);
  return bytes;
}

TEST(RedisStreamTest, AnIdIsTwoNumbersAndNothingElse) {
  EXPECT_EQ(StreamId::parse("1690000000000-7"), (StreamId{1690000000000, 7}));
  EXPECT_EQ(StreamId::parse("18446744073709551615-18446744073709551615")->text(),
            "18446744073709551615-18446744073709551615");
  for (const char* const wrong :
       {"", "-", "1", "1-", "-1", "1-2-3", " 1-2", "1-2 ", "a-1", "1--2", "18446744073709551616-0"}) {
    EXPECT_FALSE(StreamId::parse(wrong)) << wrong;
  }
}

TEST(RedisStreamTest, TheNextIdIsTheSmallestThatIsGreater) {
  EXPECT_EQ((StreamId{5, 1}.next()), (StreamId{5, 2}));
  EXPECT_EQ((StreamId{5, UINT64_MAX}.next()), (StreamId{6, 0}));
}

TEST(RedisStreamTest, APublishIsWhatDaprdWouldWrite) {
  using namespace std::string_literals;
  const Message message{"a\0b"s, {{"rawPayload", "true"}, {"key", "\""}}};

  const std::string bytes = encoded(make_xadd("orders", message, {}));

  EXPECT_EQ(bytes,
            "*7\r\n$4\r\nXADD\r\n$6\r\norders\r\n$1\r\n*\r\n$4\r\ndata\r\n$3\r\na\0b\r\n"
            "$8\r\nmetadata\r\n$32\r\n{\"key\":\"\\\"\",\"rawPayload\":\"true\"}\r\n"s);
}

TEST(RedisStreamTest, APublishTrimsByLengthOrElseByAge) {
  EXPECT_NE(encoded(make_xadd("t", {}, {1000, 0})).find("$6\r\nMAXLEN\r\n$1\r\n~\r\n$4\r\n1000\r\n"),
            std::string::npos);
  EXPECT_NE(encoded(make_xadd("t", {}, {0, 1690000000000})).find("$5\r\nMINID\r\n$1\r\n~\r\n$13\r\n1690000000000\r\n"),
            std::string::npos);
  EXPECT_EQ(encoded(make_xadd("t", {}, {1000, 1690000000000})).find("MINID"), std::string::npos);
}

TEST(RedisStreamTest, EntriesAreReadInAnyOrderOfTheirFields) {
  auto entries = read_stream_reply(stream({
      entry("1-0", {text("metadata"), text(R"({"a":"1"})"), text("other"), text("x"), text("data"), text("first")}),
      entry("1-1", {text("data"), text("second")}),
      entry("2-0", {}),
  }));

  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3U);
  EXPECT_EQ(entries->at(0).message.data, "first");
  EXPECT_EQ(entries->at(0).message.metadata, (MessageMetadata{{"a", "1"}}));
  EXPECT_EQ(entries->at(1).id, (StreamId{1, 1}));
  EXPECT_TRUE(entries->at(1).message.metadata.empty());
  EXPECT_EQ(entries->at(2).message.data, "");
}

TEST(RedisStreamTest, MetadataThatIsNoneLosesNoMessage) {
  for (const char* const metadata : {"", "null", "[]", "{", "\"text\"", "{\"a\":1}", "{\"a\":{\"b\":\"c\"}}", "\xFF"}) {
    auto entries =
        read_stream_reply(stream({entry("1-0", {text("data"), text("kept"), text("metadata"), text(metadata)})}));
    ASSERT_TRUE(entries) << metadata;
    EXPECT_EQ(entries->at(0).message.data, "kept");
    EXPECT_TRUE(entries->at(0).message.metadata.empty()) << metadata;
  }
}

TEST(RedisStreamTest, NothingInTimeIsAnEmptyList) {
  auto entries = read_stream_reply(Reply{});
  ASSERT_TRUE(entries);
  EXPECT_TRUE(entries->empty());
}

TEST(RedisStreamTest, RepliesOfAnyOtherShapeAreErrors) {
  const std::vector<Reply> wrong = {
      text("OK"),
      number(1),
      list({}),
      list({text("orders")}),
      list({list({text("orders")})}),
      list({list({text("orders"), text("x")})}),
      stream({text("1-0")}),
      stream({list({number(1), list({})})}),
      stream({entry("no id", {})}),
      stream({entry("1-0", {text("data")})}),
      stream({list({text("1-0"), Reply{}})}),
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) EXPECT_FALSE(read_stream_reply(wrong[i])) << i;
  for (const Reply& reply : {text("x"), list({number(1)}), list({entry("1-0", {}), entry("1-1", {})})}) {
    EXPECT_FALSE(read_claim_reply(reply));
  }
  for (const Reply& reply : {Reply{}, text("x"), list({text("x")}), list({list({text("1-0"), text("c"), number(1)})}),
                             list({list({text("x"), text("c"), number(1), number(1)})}),
                             list({list({text("1-0"), text("c"), text("1"), number(1)})})}) {
    EXPECT_FALSE(read_pending_reply(reply));
  }
}

TEST(RedisStreamTest, AClaimGivesTheMessageOrSaysThatItIsGone) {
  auto given = read_claim_reply(list({entry("1-0", {text("data"), text("x")})}));
  auto refused = read_claim_reply(list({}));
  auto deleted = read_claim_reply(list({Reply{}}));

  ASSERT_TRUE(given && given->entry);
  EXPECT_EQ(given->entry->message.data, "x");
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->entry || refused->deleted);
  ASSERT_TRUE(deleted);
  EXPECT_TRUE(deleted->deleted);
}

TEST(RedisStreamTest, NumbersOfAPendingEntryAreBounded) {
  auto page = read_pending_reply(list({
      list({text("1-0"), text("c"), number(1500), number(3)}),
      list({text("1-1"), text("c"), number(INT64_MAX), number(INT64_MAX)}),
      list({text("1-2"), text("c"), number(-1), number(-1)}),
  }));

  ASSERT_TRUE(page);
  EXPECT_EQ(page->at(0).idle, std::chrono::milliseconds(1500));
  EXPECT_EQ(page->at(0).deliveries, 3U);
  EXPECT_GT(page->at(1).idle, std::chrono::hours(1));
  EXPECT_EQ(page->at(2).idle, Nanos::zero());
  EXPECT_EQ(page->at(2).deliveries, 0U);
}

}  // namespace
}  // namespace caisson::pubsub
