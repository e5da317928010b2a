#include "capabilities/state/value_encoding.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "capabilities/state/ledger.hpp"

namespace caisson::state {
namespace {

std::string encoded(const std::string& json) {
  const auto out = go_json(json);
  return out ? *out : "error: " + out.error().message;
}

/// What Go 1.22 prints for json.Marshal of the value that json.Unmarshal made of the left text.
TEST(GoJsonTest, NumbersAreFloat64InShortestForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"1", "1"},
      {"1.0", "1"},
      {"-0", "-0"},
      {"0.0", "0"},
      {"1e2", "100"},
      {"1.50", "1.5"},
      {"0.000001", "0.000001"},
      {"0.0000001", "1e-7"},
      {"1.25e-7", "1.25e-7"},
      {"1e-10", "1e-10"},
      {"1e20", "100000000000000000000"},
      {"1e21", "1e+21"},
      {"1.5e300", "1.5e+300"},
      {"123456789012345678901", "123456789012345680000"},
      {"9007199254740993", "9007199254740992"},
      {"0.1", "0.1"},
      {"3.141592653589793238", "3.141592653589793"},
      {"-12.5", "-12.5"},
      {"1e-400", "0"},
      {"100", "100"},
      {"1234.5678", "1234.5678"},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(encoded(in), out) << in;
}

TEST(GoJsonTest, KeysAreSortedAndTheLastOfEqualOnesWins) {
  EXPECT_EQ(encoded(R"({"b":1,"a":{"d":1,"c":2},"b":3})"), R"({"a":{"c":2,"d":1},"b":3})");
  EXPECT_EQ(encoded(R"({"a":1,"a":2})"), R"({"a":2})");
  EXPECT_EQ(encoded(R"({"a":1,"B":2})"), R"({"B":2,"a":1})");
}

TEST(GoJsonTest, WhiteSpaceGoesAndStringsKeepTheirs) {
  EXPECT_EQ(encoded(" { \"a\" : [ 1 , true , null , \" x \" ] } \n"), R"({"a":[1,true,null," x "]})");
  EXPECT_EQ(encoded("[]"), "[]");
  EXPECT_EQ(encoded("{}"), "{}");
}

TEST(GoJsonTest, MarkupAndLineSeparatorsAreEscaped) {
  EXPECT_EQ(encoded(R"("<a href='x'>&</a>")"), R"("\u003ca href='x'\u003e\u0026\u003c/a\u003e")");
  EXPECT_EQ(encoded("\"\xE2\x80\xA8\xE2\x80\xA9\""), R"("\u2028\u2029")");
}

TEST(GoJsonTest, EscapesBecomeCharacters) {
  EXPECT_EQ(encoded(R"("\u00e9\u0041\/")"),
            "\"\xC3\xA9"
            "A/\"");
  EXPECT_EQ(encoded(R"("\ud83d\ude00")"), "\"\xF0\x9F\x98\x80\"");
  EXPECT_EQ(encoded(R"("\n\t\"\\\u0001")"), R"("\n\t\"\\\u0001")");
}

TEST(GoJsonTest, ALoneSurrogateBecomesTheReplacementCharacter) {
  EXPECT_EQ(encoded(R"("\ud83d")"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(encoded(R"("\ud83dA\ude00")"),
            "\"\xEF\xBF\xBD"
            "A\xEF\xBF\xBD\"");
  EXPECT_EQ(encoded(R"("\ud83d\u0041")"),
            "\"\xEF\xBF\xBD"
            "A\"");
}

TEST(GoJsonTest, BytesThatAreNoUtf8BecomeTheReplacementCharacter) {
  EXPECT_EQ(encoded("\"a\xE2\xE2"
                    "b\xFF\""),
            "\"a\xEF\xBF\xBD\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\"");
  EXPECT_EQ(encoded("\"\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80\""), [] {
    std::string text = "\"";
    for (int i = 0; i < 9; ++i) text += "\xEF\xBF\xBD";
    return text + "\"";
  }());
  EXPECT_EQ(encoded("\"\xF0\x9F\x98\x80\""), "\"\xF0\x9F\x98\x80\"");
}

TEST(GoJsonTest, BrokenTextIsRefused) {
  for (const char* text : {"",        " ",         "{",   "[1,]",   "[1 2]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "\"a",
                           "\"\\x\"", "\"\\u12\"", "01",  "1.",     ".5",    "-",        "1e",        "+1",    "tru",
                           "nul",     "nulll",     "1 2", "\"\n\"", "1e999", "'a'",      "NaN"}) {
    EXPECT_EQ(encoded(text).rfind("error:", 0), 0U) << text;
  }
}

TEST(GoJsonTest, DepthIsLimited) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };

  EXPECT_EQ(encoded(nested(sdk::kMaxJsonDepth)), nested(sdk::kMaxJsonDepth));
  EXPECT_EQ(encoded(nested(sdk::kMaxJsonDepth + 1)).rfind("error:", 0), 0U);
  EXPECT_EQ(encoded(std::string(4'000'000, '[')).rfind("error:", 0), 0U);
}

TEST(CompactJsonTest, KeepsNumbersAndOrder) {
  const auto out = compact_json(" {\"b\" : 1.0, \"a\": \"<\\\"&\\u0041\" }");

  ASSERT_TRUE(out);
  EXPECT_EQ(*out, R"({"b":1.0,"a":"\u003c\"\u0026\u0041"})");
  EXPECT_FALSE(compact_json("plain text"));
}

TEST(LedgerTest, ResultsAreReadBackAndAnythingElseIsRefused) {
  const std::vector<WriteResult> results = {{Errc::kOk, "etag:1 2"}, {Errc::kAborted, ""}, {Errc::kCancelled, "x\n"}};

  const auto read = decode_results(encode_results(results));

  ASSERT_TRUE(read);
  EXPECT_EQ(*read, results);
  for (const char* broken : {"x", "0", "0 5:abc", "0 99999999999999999999:a", "77 0:", "0 -1:"}) {
    EXPECT_FALSE(decode_results(broken)) << broken;
  }
}

}  // namespace
}  // namespace caisson::state
