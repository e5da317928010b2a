#include "bus/gzip.hpp"

#include <gtest/gtest.h>

namespace caisson {
namespace {

TEST(GzipTest, WhatWasPackedComesBack) {
  for (const std::string& text : {std::string(), std::string("x"), std::string(1 << 20, 'a')}) {
    const auto back = gunzip(gzip(text), text.size());
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(*back == text);
  }
}

TEST(GzipTest, ABombIsRefusedAtTheLimit) {
  const auto bomb = gunzip(gzip(std::string(8 << 20, '\0')), 1 << 20);
  ASSERT_FALSE(bomb);
  EXPECT_EQ(bomb.error().code, Errc::kResourceExhausted);
}

TEST(GzipTest, BrokenBytesAreAnError) {
  const std::string packed = gzip("some text that is packed");
  for (const std::string& broken : {std::string(), std::string("plain"), packed.substr(0, packed.size() - 4)}) {
    const auto back = gunzip(broken, 1000);
    ASSERT_FALSE(back);
    EXPECT_EQ(back.error().code, Errc::kInvalidArgument);
  }
}

}  // namespace
}  // namespace caisson
