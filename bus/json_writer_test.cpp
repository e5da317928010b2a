#include "bus/json_writer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace caisson {
namespace {

bool is_plain(unsigned char c, HtmlEscape html) {
  if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') return false;
  return html == HtmlEscape::kNo || (c != '<' && c != '>' && c != '&');
}

class PlainJsonLengthTest : public ::testing::TestWithParam<HtmlEscape> {};

TEST_P(PlainJsonLengthTest, EveryByteIsJudgedAtEveryPlace) {
  for (std::size_t size = 1; size <= 20; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(byte);
        const std::size_t expected = is_plain(static_cast<unsigned char>(byte), GetParam()) ? size : at;

        ASSERT_EQ(plain_json_length(text, GetParam()), expected) << "byte " << byte << " at " << at << " of " << size;
      }
    }
  }
}

TEST_P(PlainJsonLengthTest, TheFirstOfTwoNeighboursCounts) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{'a', static_cast<char>(first), static_cast<char>(second), 'a', 'a', 'a', 'a', 'a', 'a'};
      const std::size_t expected = !is_plain(static_cast<unsigned char>(first), GetParam())    ? 1
                                   : !is_plain(static_cast<unsigned char>(second), GetParam()) ? 2
                                                                                               : text.size();

      ASSERT_EQ(plain_json_length(text, GetParam()), expected) << first << ", " << second;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Html, PlainJsonLengthTest, ::testing::Values(HtmlEscape::kNo, HtmlEscape::kYes));

TEST(JsonStringTest, WhatStandsBetweenEscapesIsKept) {
  std::string out = "[";

  append_json_string(out, "a \"quoted\" \\ line\nand \x01, gr\xC3\xBC\xC3\x9F, \xFF<&>\xE2\x80\xA8", HtmlEscape::kYes);

  EXPECT_EQ(out,
            "[\"a \\\"quoted\\\" \\\\ line\\nand \\u0001, gr\xC3\xBC\xC3\x9F, \\ufffd\\u003c\\u0026\\u003e\\u2028\"");
}

TEST(JsonStringTest, AnEmptyTextIsTwoQuotes) {
  std::string out;

  append_json_string(out, {});

  EXPECT_EQ(out, "\"\"");
}

}  // namespace
}  // namespace caisson
