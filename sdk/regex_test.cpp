#include "sdk/regex.hpp"

#include <gtest/gtest.h>

#include <string>

namespace caisson::sdk {
namespace {

struct Case {
  const char* pattern;
  const char* text;
  bool found;
};

class RegexTest : public testing::TestWithParam<Case> {};

TEST_P(RegexTest, FindsWhatItShould) {
  const auto regex = Regex::parse(GetParam().pattern);

  ASSERT_TRUE(regex) << GetParam().pattern << ": " << regex.error().message;
  EXPECT_EQ(regex->found_in(GetParam().text), GetParam().found) << GetParam().pattern << " in " << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Patterns, RegexTest,
    testing::Values(Case{"", "", true}, Case{"b", "abc", true}, Case{"d", "abc", false}, Case{"^b", "abc", false},
                    Case{"^abc$", "abc", true}, Case{"^abc$", "abcd", false}, Case{"a|b|cd", "xcdx", true},
                    Case{"^(a|b)+$", "abba", true}, Case{"^(a|b)+$", "abca", false}, Case{"^a*$", "", true},
                    Case{"^a?b$", "ab", true}, Case{"^a?b$", "aab", false}, Case{"^a{2,3}$", "aa", true},
                    Case{"^a{2,3}$", "aaaa", false}, Case{"^a{2}$", "aaa", false}, Case{"^a{2,}$", "aaaa", true},
                    Case{"a{x", "a{x", true}, Case{"^[a-c]+$", "abcab", true}, Case{"^[^a-c]+$", "xyz", true},
                    Case{"[^a-c]", "abc", false}, Case{"^[]a]+$", "]a", true}, Case{"^[a-]+$", "-a", true},
                    Case{"^\\d+\\.\\d+$", "12.5", true}, Case{"^\\d+\\.\\d+$", "12x5", false},
                    Case{"^\\w+$", "a_9", true}, Case{"\\W", "a_9", false}, Case{"^[\\d_]+$", "1_2", true},
                    Case{"\\bcat\\b", "a cat.", true}, Case{"\\bcat\\b", "concat", false},
                    Case{"\\Bcat", "concat", true}, Case{"^(?:ab)*$", "abab", true}, Case{"^(a*)*$", "aaaa", true},
                    Case{"^(a*)*b$", "aaaa", false}, Case{"(?i)^HeLLo$", "hEllO", true}, Case{"(?i)[^a]", "A", false},
                    Case{"^.$", "\xC3\xAB", true}, Case{"^..$", "\xC3\xAB", false}, Case{"^[^a]$", "\xC3\xAB", true},
                    Case{"^[\xC3\xAB"
                         "x]$",
                         "\xC3\xAB", true},
                    Case{"\xC3\xAB+$", "\xC3\xAB\xC3\xAB", true}, Case{"a.b", "a\nb", false},
                    Case{"^\\x41$", "A", true}, Case{"^a*?$", "aa", true}, Case{"^(?P<x>a)$", "a", true}));

TEST(RegexTest, ABrokenPatternIsRefused) {
  for (const char* pattern : {"(", ")", "[", "[a", "a**", "*a", "\\", "[z-a]", "a{3,2}", "a{2000}", "(?=a)", "\\1",
                              "\\q", "(?P<", "[\xC3\xAB-z]"}) {
    EXPECT_FALSE(Regex::parse(pattern)) << pattern;
  }
}

TEST(RegexTest, APatternThatWouldGrowTooLargeIsRefused) {
  EXPECT_FALSE(Regex::parse("((a{100}){100}){100}"));
  EXPECT_FALSE(Regex::parse(std::string(2000, 'a')));
  EXPECT_FALSE(Regex::parse(std::string(1000, '(')));
}

TEST(RegexTest, APatternThatMakesABacktrackerHangIsLinear) {
  const auto regex = Regex::parse("^(a+)+$");
  ASSERT_TRUE(regex);

  EXPECT_FALSE(regex->found_in(std::string(100'000, 'a') + "b"));
}

}  // namespace
}  // namespace caisson::sdk
