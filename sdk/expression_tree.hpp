#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sdk/expression.hpp"
#include "sdk/regex.hpp"

namespace caisson::sdk {

/// What the parser makes and the evaluation walks; internal to expression*.cpp.
struct Expression::Tree {
  enum class Op : std::uint8_t {
    kLiteral,
    kName,
    kField,
    kHas,
    kIndex,
    kList,
    kAnd,
    kOr,
    kNot,
    kNegate,
    kChoose,
    kIn,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kModulo,
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kSize,
    kToInt,
    kToDouble,
    kToString,
    kStartsWith,
    kEndsWith,
    kContains,
    kMatches,
  };
  struct Node {
    Op op = Op::kLiteral;
    std::uint32_t position = 0;  // of its operator or name in the text, from 0
    std::uint32_t depth = 1;
    Value literal;
    std::string name;  // kName, kField, kHas
    std::vector<std::uint32_t> operands;
    std::optional<Regex> pattern;  // kMatches with a literal pattern
  };

  std::string text;
  std::vector<Node> nodes;
  std::uint32_t root = 0;
};

}  // namespace caisson::sdk
