#include <gtest/gtest.h>

#include "sdk/component_set.hpp"

namespace caisson::sdk {
namespace {

using namespace std::chrono_literals;

TEST(MetadataTest, NamesAreMatchedWithoutRegardToCase) {
  const Metadata metadata(Metadata::Items{{"redisHost", "a"}});

  EXPECT_EQ(metadata.get("REDISHOST"), "a");
  EXPECT_FALSE(metadata.find("other"));
}

TEST(MetadataTest, AWrongNumberNamesItsKey) {
  const Metadata metadata(Metadata::Items{{"queueDepth", "ten"}});

  const auto depth = metadata.get_int("queueDepth", 1);

  ASSERT_FALSE(depth);
  EXPECT_NE(depth.error().message.find("queueDepth"), std::string::npos);
}

TEST(MetadataTest, TruthyIsWhatDaprCallsTruthy) {
  for (const char* yes : {"y", "YES", "true", "T", "on", "1", " 1 "}) EXPECT_TRUE(is_truthy(yes)) << yes;
  for (const char* no : {"", "0", "no", "false", "2"}) EXPECT_FALSE(is_truthy(no)) << no;
}

TEST(DurationTest, GoSyntaxAndBareMillisecondsAreRead) {
  EXPECT_EQ(*parse_duration("1m30s"), 90s);
  EXPECT_EQ(*parse_duration("500ms"), 500ms);
  EXPECT_EQ(*parse_duration("1.5h"), 90min);
  EXPECT_EQ(*parse_duration("250"), 250ms);
  EXPECT_EQ(*parse_duration("-1s"), -1s);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("10\u00b5s"), 10us);
}

TEST(DurationTest, AnythingElseIsAnError) {
  for (const char* bad : {"", "s", "1x", "1s2", "99999999999999999999", "1e400h", "-", "1..2s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

}  // namespace
}  // namespace caisson::sdk
