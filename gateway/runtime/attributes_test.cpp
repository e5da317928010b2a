#include "gateway/runtime/attributes.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "bus/testing/temporary_directory.hpp"

namespace caisson::gateway {
namespace {

using Values = std::map<std::string, std::string>;

class AttributesTest : public ::testing::Test {
 protected:
  AttributesTest() {
    EXPECT_TRUE(first_.share(folder_, "gateway"));
    EXPECT_TRUE(second_.share(folder_, "gateway-2"));
  }

  caisson::testing::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "attributes";
  Attributes first_;
  Attributes second_;
};

TEST_F(AttributesTest, WhatOneGatewayIsGivenAllShow) {
  ASSERT_TRUE(first_.put("shop", "pid", "1"));
  ASSERT_TRUE(second_.put("shop", "colour", "re\"d"));
  ASSERT_TRUE(second_.put("till", "colour", "blue"));

  const Values shown = {{"pid", "1"}, {"colour", "re\"d"}};
  EXPECT_EQ(first_.of("shop"), shown);
  EXPECT_EQ(second_.of("shop"), shown);
  EXPECT_EQ(first_.of("till"), (Values{{"colour", "blue"}}));
}

TEST_F(AttributesTest, TheValueThatWasPutLastCounts) {
  ASSERT_TRUE(first_.put("shop", "pid", "1"));
  ASSERT_TRUE(second_.put("shop", "pid", "2"));
  EXPECT_EQ(first_.of("shop"), (Values{{"pid", "2"}}));

  ASSERT_TRUE(first_.put("shop", "pid", "3"));

  EXPECT_EQ(first_.of("shop"), (Values{{"pid", "3"}}));
  EXPECT_EQ(second_.of("shop"), (Values{{"pid", "3"}}));
}

TEST_F(AttributesTest, AGatewayThatComesBackHasItsOwn) {
  ASSERT_TRUE(first_.put("shop", "pid", "1"));
  Attributes again;
  ASSERT_TRUE(again.share(folder_, "gateway"));

  ASSERT_TRUE(again.put("shop", "colour", "red"));

  EXPECT_EQ(second_.of("shop"), (Values{{"pid", "1"}, {"colour", "red"}}));
}

TEST_F(AttributesTest, TheBoundsAreThoseOfAllTogether) {
  ASSERT_TRUE(first_.put("shop", "big", std::string(Attributes::kMaxBytes - 10, 'x')));

  const auto refused = second_.put("shop", "more", std::string(20, 'x'));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kResourceExhausted);
}

TEST_F(AttributesTest, FilesThatAreDamagedAddNothing) {
  ASSERT_TRUE(first_.put("shop", "pid", "1"));
  int number = 0;
  for (const char* text : {"", "[", "[1]", R"({"shop":1})", R"({"shop":{"a":1}})",
                           R"({"shop":{"a":{"value":1,"at":1}}})", R"({"shop":{"a":{"value":"x"}}})"}) {
    std::ofstream(folder_ / (std::to_string(++number) + ".json")) << text;
  }

  EXPECT_EQ(second_.of("shop"), (Values{{"pid", "1"}}));
}

}  // namespace
}  // namespace caisson::gateway
