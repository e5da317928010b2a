#include "gateway/rpc_message.hpp"

#include <gtest/gtest.h>

#include "gateway/route_table.hpp"

namespace caisson::gateway {
namespace {

TEST(RpcMessageTest, TheSelectorIsTheLastTopLevelStringOfItsNumber) {
  EXPECT_EQ(protobuf_string("\x0a\x03"
                            "box\x12\x01"
                            "k",
                            1),
            "box");
  EXPECT_EQ(protobuf_string("\x0a\x03"
                            "box\x12\x01"
                            "k",
                            2),
            "k");
  EXPECT_EQ(protobuf_string("\x0a\x01"
                            "a\x0a\x01"
                            "b",
                            1),
            "b");
  EXPECT_EQ(protobuf_string(std::string_view("\x10\x96\x01\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0\x0a\x01"
                                             "z",
                                             20),
                            1),
            "z");
  EXPECT_EQ(protobuf_string("", 1), "");
}

TEST(RpcMessageTest, APathOfNumbersLeadsIntoMessages) {
  const std::string inner = "\x12\x03key";       // field 2
  const std::string outer = "\x0a\x05" + inner;  // field 1

  EXPECT_EQ(protobuf_string_at(inner, "2"), "key");
  EXPECT_EQ(protobuf_string_at(outer, "1.2"), "key");
  EXPECT_EQ(protobuf_string_at(outer, "2"), "");
  EXPECT_EQ(protobuf_string_at(outer, ""), "");
  EXPECT_EQ(protobuf_string_at(outer, "x"), "");
}

TEST(RpcMessageTest, ABrokenMessageHasNoSelector) {
  EXPECT_EQ(protobuf_string("\x0a\x05"
                            "box",
                            1),
            "");
  EXPECT_EQ(protobuf_string("\x0a", 1), "");
  EXPECT_EQ(protobuf_string("\x0b\x0a\x01"
                            "a",
                            1),
            "");
  EXPECT_EQ(protobuf_string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1), "");
  EXPECT_EQ(protobuf_string("\x19\x01", 1), "");
}

TEST(RpcMessageTest, TextIsPercentEncodedAsUtf8) {
  EXPECT_EQ(encode_rpc_text("plain ~"), "plain ~");
  EXPECT_EQ(encode_rpc_text("100% \xc3\xa4\n"), "100%25 %C3%A4%0A");
}

TEST(RpcMessageTest, TimeoutsHaveUpToEightDigitsAndAUnit) {
  EXPECT_EQ(parse_rpc_timeout("100m"), Nanos(std::chrono::milliseconds(100)));
  EXPECT_EQ(parse_rpc_timeout("99999999S"), Nanos(std::chrono::seconds(99999999)));
  EXPECT_EQ(parse_rpc_timeout("2u"), Nanos(std::chrono::microseconds(2)));
  EXPECT_GT(*parse_rpc_timeout("99999999H"), Nanos::zero());
  for (const char* const wrong : {"", "m", "100", "100x", "-1m", "+1m", "123456789m"}) {
    EXPECT_FALSE(parse_rpc_timeout(wrong)) << wrong;
  }
}

TEST(RpcRulesTest, AForbiddenMethodIsNotFoundAndDoesNotGoToTheFallback) {
  auto manifest = std::make_shared<Manifest>();
  manifest->capability = "c";
  Route things{.number = 1, .rpc = Rpc::kUnary, .method = "POST", .path = "/t.T/Things"};
  things.group = "things";
  things.version = "v1";
  Route others{.number = 2, .rpc = Rpc::kUnary, .method = "POST", .path = "/t.T/Others"};
  others.group = "others";
  others.version = "v1";
  Route fallback{.number = 3, .rpc = Rpc::kStream};
  fallback.fallback = true;
  manifest->routes = {things, others, fallback};

  const auto table = *RouteTable::make({manifest}, {}, {{{"things", "v1"}}, {}});
  const auto open = *RouteTable::make({manifest}, {{{"nothing", "v1"}}, {}}, {});

  RouteMatch match;
  table->find_rpc("/t.T/Things", match);
  ASSERT_NE(match.entry(), nullptr);
  table->find_rpc("/t.T/Others", match);
  EXPECT_EQ(match.entry(), nullptr);
  table->find_rpc("/x.Y/Z", match);
  ASSERT_NE(match.entry(), nullptr);
  EXPECT_TRUE(match.entry()->route->fallback);
  open->find_rpc("/t.T/Others", match);
  EXPECT_NE(match.entry(), nullptr);
}

}  // namespace
}  // namespace caisson::gateway
