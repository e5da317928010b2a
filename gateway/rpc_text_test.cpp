#include <gtest/gtest.h>

#include "gateway/rpc_message.hpp"

namespace caisson::gateway {
namespace {

TEST(RpcTextTest, TextComesBackAsItWasWritten) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);

  EXPECT_EQ(decode_rpc_text(encode_rpc_text(every_byte)), every_byte);
}

TEST(RpcTextTest, BrokenEscapesOfTextStayAsTheyAre) {
  for (const char* text : {"%", "%4", "100%", "%zz", "%4z", "% 41", "%-1"}) EXPECT_EQ(decode_rpc_text(text), text);
  EXPECT_EQ(decode_rpc_text("%41%4"), "A%4");
}

TEST(RpcTextTest, TimeoutsAreWrittenInEightDigitsAndReadBack) {
  const std::vector<std::pair<Nanos, std::string>> table = {
      {std::chrono::milliseconds(500), "500m"},
      {std::chrono::microseconds(1999), "1m"},
      {Nanos::zero(), "0m"},
      {-std::chrono::seconds(1), "0m"},
      {std::chrono::hours(27), "97200000m"},
      {std::chrono::hours(28), "100800S"},
      {std::chrono::hours(24 * 365 * 100), "99999999S"},
  };
  for (const auto& [span, text] : table) {
    EXPECT_EQ(format_rpc_timeout(span), text);
    EXPECT_TRUE(parse_rpc_timeout(text));
  }
}

}  // namespace
}  // namespace caisson::gateway
