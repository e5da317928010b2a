#include "sdk/json_reader.hpp"

#include <gtest/gtest.h>

#include <string>

#include "bus/json_writer.hpp"

namespace caisson::sdk {
namespace {

Result<std::string> read(std::string json) {
  JsonReader reader(std::move(json));
  auto text = reader.read_string();
  if (!text) return text;
  TRY(reader.expect_end());
  return text;
}

TEST(JsonReaderTest, AStringIsReadBackAsItWasWritten) {
  const std::string special[] = {"\"", "\\", "\n", "\x01", "\xC3\xBC", "\xF0\x9F\x99\x82", "\x7F", "/", "<"};
  for (const std::string& one : special) {
    for (std::size_t at = 0; at <= 17; ++at) {
      const std::string text = std::string(at, 'a') + one + std::string(17 - at, 'b') + one;
      std::string json;
      append_json_string(json, text);

      const auto back = read(json);

      ASSERT_TRUE(back) << json;
      EXPECT_EQ(*back, text);
    }
  }
}

TEST(JsonReaderTest, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(*read("\"abcdefgh\xFFijk\""), "abcdefgh\xEF\xBF\xBDijk");
  EXPECT_EQ(*read("\"\xC3\""), "\xEF\xBF\xBD");
  EXPECT_EQ(*read("\"\\ud800\""), "\xEF\xBF\xBD");
}

TEST(JsonReaderTest, AControlCharacterInAStringIsAnErrorWithItsPlace) {
  const auto refused = read("\"abcdefghi\njk\"");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "control character in a string at byte 10");
}

TEST(JsonReaderTest, AStringWithoutAnEndIsAnError) {
  for (const std::string json : {"\"", "\"abcdefgh", "\"abcdefghijk\xC3", "\"abc\\"}) {
    const auto refused = read(json);
    ASSERT_FALSE(refused) << json;
    EXPECT_TRUE(refused.error().message.starts_with("a string has no end")) << refused.error().message;
  }
}

}  // namespace
}  // namespace caisson::sdk
