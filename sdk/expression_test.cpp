#include "sdk/expression.hpp"

#include <gtest/gtest.h>

namespace caisson::sdk {
namespace {

/// An event such as a routing rule sees it.
MapRecord event() {
  std::map<std::string, Value, std::less<>> data{{"total", Value(120)}, {"name", Value("Zoë")}};
  std::map<std::string, Value, std::less<>> fields{
      {"type", Value("order.paid.v1")},
      {"data", Value(std::shared_ptr<const Record>(std::make_shared<MapRecord>(std::move(data))))},
      {"tags", Value(Value::List{Value("new"), Value(7)})},
      {"price", Value(2.5)},
      {"nothing", Value()}};
  std::map<std::string, Value, std::less<>> variables{
      {"event", Value(std::shared_ptr<const Record>(std::make_shared<MapRecord>(std::move(fields))))},
      {"yes", Value(true)},
      {"no", Value(false)}};
  return MapRecord(std::move(variables));
}

/// "true", "false", or the message of the error.
std::string outcome(std::string_view text) {
  const auto parsed = Expression::parse(text);
  if (!parsed) return "parse: " + parsed.error().message;
  const auto value = parsed->test(event());
  if (!value) return value.error().message;
  return *value ? "true" : "false";
}

struct Case {
  const char* text;
  const char* outcome;
};

class ExpressionTest : public testing::TestWithParam<Case> {};

TEST_P(ExpressionTest, GivesItsOutcome) { EXPECT_EQ(outcome(GetParam().text), GetParam().outcome) << GetParam().text; }

INSTANTIATE_TEST_SUITE_P(
    Arithmetic, ExpressionTest,
    testing::Values(Case{"1 + 2 * 3 == 7", "true"}, Case{"(1 + 2) * 3 == 9", "true"}, Case{"7 / 2 == 3", "true"},
                    Case{"-7 % 3 == -1", "true"}, Case{"10 - 3 - 2 == 5", "true"}, Case{"0x10 == 16", "true"},
                    Case{"3u == 3", "true"}, Case{"1.5e1 == 15.0", "true"}, Case{".5 * 4.0 == 2.0", "true"},
                    Case{"1 / 0 == 1", "character 3: division by zero"},
                    Case{"9223372036854775807 + 1 == 0", "character 21: overflow"},
                    Case{"-9223372036854775808 / -1 == 0", "character 22: overflow"}, Case{"0.0 / 0.0 > 1.0", "false"},
                    Case{"-1.0 / 0.0 < 0.0", "true"}, Case{"-9223372036854775808 < 0", "true"},
                    Case{"9223372036854775808 > 0", "parse: character 1: the number is too large"},
                    Case{"-(3) == -3", "true"}, Case{"'a' + \"b\" == 'ab'", "true"},
                    Case{"double(3) / 2.0 == 1.5", "true"}, Case{"int('12') == 12", "true"},
                    Case{"string(12) == '12'", "true"},
                    Case{"1 + 'a' == 2", "character 3: this does not apply to int and string"}));

INSTANTIATE_TEST_SUITE_P(Comparison, ExpressionTest,
                         testing::Values(Case{"1 == 1.0", "true"}, Case{"1 == '1'", "false"},
                                         Case{"null == null", "true"}, Case{"1 != null", "true"},
                                         Case{"'a' < 'b'", "true"}, Case{"2 >= 2", "true"},
                                         Case{"[1, 'x'] == [1.0, 'x']", "true"}, Case{"[1] == [1, 2]", "false"},
                                         Case{"1 < 'a'", "character 3: int and string cannot be compared"}));

INSTANTIATE_TEST_SUITE_P(
    Logic, ExpressionTest,
    testing::Values(Case{"yes && !no", "true"}, Case{"no || yes", "true"}, Case{"yes && no || yes", "true"},
                    // An error beside an operand that decides does not count, on either side.
                    Case{"missing && no", "false"}, Case{"no && missing", "false"}, Case{"missing || yes", "true"},
                    Case{"yes && missing", "character 8: there is no 'missing'"},
                    Case{"missing || no", "character 1: there is no 'missing'"}, Case{"yes ? 1 == 1 : missing", "true"},
                    Case{"no ? missing : yes ? no : yes", "false"},
                    Case{"1 ? yes : no", "character 3: a bool was expected before '?', not int"},
                    Case{"1 && no", "false"}, Case{"1 || no", "character 3: a bool was expected, not int"},
                    Case{"1", "the value is int, not bool"}));

INSTANTIATE_TEST_SUITE_P(
    Fields, ExpressionTest,
    testing::Values(Case{"event.type == 'order.paid.v1'", "true"}, Case{"event.data.total > 100", "true"},
                    Case{"event['type'].startsWith('order.')", "true"}, Case{"event.tags[1] == 7", "true"},
                    Case{"event.tags[2] == 7", "character 11: the index is outside the list"},
                    Case{"event.tags[-1] == 7", "character 11: the index is outside the list"},
                    Case{"event.missing == 1", "character 7: there is no field 'missing'"},
                    Case{"event.type.x == 1", "character 12: a value of type string has no field 'x'"},
                    Case{"has(event.data.total)", "true"}, Case{"has(event.data.other)", "false"},
                    Case{"has(event)", "parse: character 1: has() takes a field, as in has(event.type)"},
                    Case{"'new' in event.tags", "true"}, Case{"8 in event.tags", "false"},
                    Case{"'total' in event.data", "true"}, Case{"event.type in ['a', 'order.paid.v1']", "true"},
                    Case{"1 in 2", "character 3: 'in' needs a list or a map, not int"}));

INSTANTIATE_TEST_SUITE_P(
    Strings, ExpressionTest,
    testing::Values(Case{"size(event.data.name) == 3", "true"}, Case{"event.data.name.size() == 3", "true"},
                    Case{"size(event.tags) == 2", "true"}, Case{"size(event.data) == 2", "true"},
                    Case{"event.type.endsWith('.v1')", "true"}, Case{"event.type.contains('paid')", "true"},
                    Case{"event.type.matches('^order\\\\.[a-z]+')", "true"},
                    Case{"matches(event.type, 'v[2-9]$')", "false"},
                    Case{"event.type.matches('(')", "parse: character 20: pattern: a '(' without ')'"},
                    Case{"'a\\n\\x41\\u00eb\\101' == \"a\\nA\xC3\xAB"
                         "A\"",
                         "true"},
                    Case{"r'\\d' == '\\\\d'", "true"}, Case{"'\\q' == ''", "parse: character 2: no such escape"},
                    Case{"'\\ud800' == ''", "parse: character 2: no such escape"},
                    Case{"'abc", "parse: character 1: the string has no end"},
                    Case{"event.price.contains('a')", "character 13: strings were expected, not double and string"}));

INSTANTIATE_TEST_SUITE_P(Syntax, ExpressionTest,
                         testing::Values(Case{"", "parse: character 1: the expression ends too early"},
                                         Case{"1 +", "parse: character 4: the expression ends too early"},
                                         Case{"1 2", "parse: character 3: an operator or the end was expected"},
                                         Case{"(1", "parse: character 3: ')' was expected"},
                                         Case{"[1,", "parse: character 4: the expression ends too early"},
                                         Case{"in == 1", "parse: character 1: a value was expected"},
                                         Case{"f(1)", "parse: character 1: there is no function f()"},
                                         Case{"event.f(1)", "parse: character 7: there is no function f() of a value"},
                                         Case{"event.", "parse: character 7: a field's name was expected"},
                                         Case{"12abc == 1", "parse: character 3: not a number"},
                                         Case{"yes ? 1", "parse: character 8: ':' was expected"}));

TEST(ExpressionLimitsTest, DeepNestingIsRefusedNotFollowed) {
  const std::string parentheses(4000, '(');
  const std::string negations(4000, '!');
  std::string sums = "1";
  for (int i = 0; i < 2000; ++i) sums += "+1";

  EXPECT_NE(outcome(parentheses).find("nested too deeply"), std::string::npos);
  EXPECT_NE(outcome(negations).find("nested too deeply"), std::string::npos);
  EXPECT_NE(outcome(sums).find("nested too deeply"), std::string::npos);
}

TEST(ExpressionLimitsTest, ALongRowOfAlternativesIsNotDeep) {
  std::string row = "no";
  for (int i = 0; i < 1000; ++i) row += "||no";

  EXPECT_EQ(outcome(row + "||yes"), "true");
}

TEST(ExpressionLimitsTest, ATextOverTheLimitIsRefused) {
  EXPECT_FALSE(Expression::parse(std::string(Expression::kMaxLength + 1, ' ')));
}

TEST(ExpressionLimitsTest, AnEvaluationThatTakesTooLongIsGivenUp) {
  std::map<std::string, Value, std::less<>> variables{{"text", Value(std::string(1 << 20, 'a'))}};
  const MapRecord record(std::move(variables));
  const auto expression = Expression::parse("text.matches('(a{1,40}){1,40}b')");
  ASSERT_TRUE(expression);

  const auto value = expression->test(record);

  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, Errc::kResourceExhausted);
}

}  // namespace
}  // namespace caisson::sdk
