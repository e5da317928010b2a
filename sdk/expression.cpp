#include "sdk/expression.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "sdk/expression_tree.hpp"

namespace caisson::sdk {

namespace {

using Tree = Expression::Tree;
using Node = Tree::Node;
using Op = Tree::Op;

std::optional<double> as_real(const Value& value) {
  if (value.real() != nullptr) return *value.real();
  if (value.integer() != nullptr) return static_cast<double>(*value.integer());
  return std::nullopt;
}

std::int64_t characters(std::string_view text) {
  std::int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

class Evaluation {
 public:
  Evaluation(const Tree& tree, const Record& variables) : tree_(tree), variables_(variables) {}

  Result<Value> value_of(std::uint32_t index) {
    const Node& node = tree_.nodes[index];
    TRY(charge(node, 1));
    switch (node.op) {
      case Op::kLiteral:
        return node.literal;
      case Op::kName:
        return named(node);
      case Op::kField:
      case Op::kHas:
        return field(node);
      case Op::kIndex:
        return indexed(node);
      case Op::kList:
        return list(node);
      case Op::kAnd:
        return decided_by(node, false);
      case Op::kOr:
        return decided_by(node, true);
      case Op::kChoose:
        return choose(node);
      default:
        break;
    }
    ASSIGN(const Value left, value_of(node.operands[0]));
    if (node.operands.size() == 1) return unary(node, left);
    ASSIGN(const Value right, value_of(node.operands[1]));
    return binary(node, left, right);
  }

  Error wrong(const Node& node, std::string_view what) const {
    return {Errc::kInvalidArgument, fmt::format("character {}: {}", node.position + 1, what)};
  }

 private:
  Result<void> charge(const Node& node, std::uint64_t cost) {
    cost_ += cost;
    if (cost_ <= Expression::kMaxCost) return ok();
    return Error{Errc::kResourceExhausted,
                 fmt::format("character {}: the expression takes too long", node.position + 1)};
  }
  Result<void> charge_text(const Node& node, std::size_t bytes) { return charge(node, bytes / 16); }

  Result<Value> named(const Node& node) {
    auto found = variables_.find(node.name);
    if (!found) return wrong(node, fmt::format("there is no '{}'", node.name));
    return *std::move(found);
  }

  Result<Value> field(const Node& node) {
    ASSIGN(const Value owner, value_of(node.operands[0]));
    if (owner.map() == nullptr) {
      return wrong(node, fmt::format("a value of type {} has no field '{}'", owner.kind(), node.name));
    }
    auto found = owner.map()->find(node.name);
    if (node.op == Op::kHas) return Value(found.has_value());
    if (!found) return wrong(node, fmt::format("there is no field '{}'", node.name));
    if (found->string() != nullptr) TRY(charge_text(node, found->string()->size()));
    return *std::move(found);
  }

  Result<Value> indexed(const Node& node) {
    ASSIGN(const Value owner, value_of(node.operands[0]));
    ASSIGN(const Value index, value_of(node.operands[1]));
    if (owner.map() != nullptr && index.string() != nullptr) {
      auto found = owner.map()->find(*index.string());
      if (!found) return wrong(node, fmt::format("there is no key '{}'", index.string()->substr(0, 64)));
      return *std::move(found);
    }
    if (owner.list() != nullptr && index.integer() != nullptr) {
      const auto at = static_cast<std::uint64_t>(*index.integer());
      if (at >= owner.list()->size()) return wrong(node, "the index is outside the list");
      return (*owner.list())[at];
    }
    return wrong(node, fmt::format("{} cannot be indexed with {}", owner.kind(), index.kind()));
  }

  Result<Value> list(const Node& node) {
    Value::List items;
    for (const std::uint32_t operand : node.operands) {
      ASSIGN(Value item, value_of(operand));
      items.push_back(std::move(item));
    }
    return Value(std::move(items));
  }

  /// && is decided by false, || by true; an operand that fails counts only when nothing decides.
  Result<Value> decided_by(const Node& node, bool decisive) {
    std::optional<Error> failure;
    for (const std::uint32_t operand : node.operands) {
      Result<Value> value = value_of(operand);
      if (value && value->boolean() == nullptr) {
        value = wrong(node, fmt::format("a bool was expected, not {}", value->kind()));
      }
      if (!value) {
        if (value.error().code == Errc::kResourceExhausted) return value;
        if (!failure) failure = std::move(value).error();
      } else if (*value->boolean() == decisive) {
        return Value(decisive);
      }
    }
    if (failure) return *std::move(failure);
    return Value(!decisive);
  }

  Result<Value> choose(const Node& node) {
    ASSIGN(const Value condition, value_of(node.operands[0]));
    if (condition.boolean() == nullptr) {
      return wrong(node, fmt::format("a bool was expected before '?', not {}", condition.kind()));
    }
    return value_of(node.operands[*condition.boolean() ? 1 : 2]);
  }

  Result<Value> unary(const Node& node, const Value& value) {
    switch (node.op) {
      case Op::kNot:
        if (value.boolean() != nullptr) return Value(!*value.boolean());
        break;
      case Op::kNegate:
        if (value.real() != nullptr) return Value(-*value.real());
        if (value.integer() != nullptr) {
          std::int64_t result = 0;
          if (__builtin_sub_overflow(std::int64_t{0}, *value.integer(), &result)) return wrong(node, "overflow");
          return Value(result);
        }
        break;
      case Op::kSize:
        if (value.list() != nullptr) return Value(static_cast<std::int64_t>(value.list()->size()));
        if (value.map() != nullptr) return Value(static_cast<std::int64_t>(value.map()->size()));
        if (value.string() != nullptr) {
          TRY(charge_text(node, value.string()->size()));
          return Value(characters(*value.string()));
        }
        break;
      case Op::kToInt:
        return to_integer(node, value);
      case Op::kToDouble:
        return to_real(node, value);
      case Op::kToString:
        return to_text(node, value);
      default:
        break;
    }
    return wrong(node, fmt::format("this does not apply to {}", value.kind()));
  }

  Result<Value> to_integer(const Node& node, const Value& value) {
    if (value.integer() != nullptr) return value;
    if (value.real() != nullptr && std::abs(*value.real()) < 9.2e18) {
      return Value(static_cast<std::int64_t>(*value.real()));
    }
    if (value.string() != nullptr) {
      const std::string& text = *value.string();
      std::int64_t number = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
      if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return Value(number);
    }
    return wrong(node, fmt::format("this {} is no int", value.kind()));
  }

  Result<Value> to_real(const Node& node, const Value& value) {
    if (const auto number = as_real(value)) return Value(*number);
    if (value.string() != nullptr) {
      const std::string& text = *value.string();
      double number = 0;
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
      if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return Value(number);
    }
    return wrong(node, fmt::format("this {} is no double", value.kind()));
  }

  Result<Value> to_text(const Node& node, const Value& value) {
    if (value.string() != nullptr) return value;
    if (value.boolean() != nullptr) return Value(*value.boolean() ? "true" : "false");
    if (value.integer() != nullptr) return Value(fmt::format("{}", *value.integer()));
    if (value.real() != nullptr) return Value(fmt::format("{}", *value.real()));
    return wrong(node, fmt::format("{} has no text", value.kind()));
  }

  Result<Value> binary(const Node& node, const Value& left, const Value& right) {
    switch (node.op) {
      case Op::kEqual:
      case Op::kNotEqual: {
        ASSIGN(const bool same, equal(node, left, right));
        return Value(same == (node.op == Op::kEqual));
      }
      case Op::kLess:
      case Op::kLessEqual:
      case Op::kGreater:
      case Op::kGreaterEqual:
        return compare(node, left, right);
      case Op::kIn:
        return contained(node, left, right);
      case Op::kStartsWith:
      case Op::kEndsWith:
      case Op::kContains:
      case Op::kMatches:
        return text_test(node, left, right);
      default:
        return arithmetic(node, left, right);
    }
  }

  /// Values of different types are unequal, except that 1 == 1.0.
  Result<bool> equal(const Node& node, const Value& left, const Value& right) {
    TRY(charge(node, 1));
    if (left.integer() != nullptr && right.integer() != nullptr) return *left.integer() == *right.integer();
    const auto a = as_real(left);
    const auto b = as_real(right);
    if (a && b) return *a == *b;
    if (left.string() != nullptr && right.string() != nullptr) {
      TRY(charge_text(node, std::min(left.string()->size(), right.string()->size())));
      return *left.string() == *right.string();
    }
    if (left.boolean() != nullptr && right.boolean() != nullptr) return *left.boolean() == *right.boolean();
    if (left.list() != nullptr && right.list() != nullptr) {
      if (left.list()->size() != right.list()->size()) return false;
      for (std::size_t i = 0; i < left.list()->size(); ++i) {
        ASSIGN(const bool same, equal(node, (*left.list())[i], (*right.list())[i]));
        if (!same) return false;
      }
      return true;
    }
    if (left.map() != nullptr && right.map() != nullptr) return wrong(node, "maps cannot be compared");
    return left.is_null() && right.is_null();
  }

  Result<Value> compare(const Node& node, const Value& left, const Value& right) {
    std::optional<std::partial_ordering> order;
    if (left.integer() != nullptr && right.integer() != nullptr) {
      order = *left.integer() <=> *right.integer();
    } else if (const auto a = as_real(left), b = as_real(right); a && b) {
      order = *a <=> *b;
    } else if (left.string() != nullptr && right.string() != nullptr) {
      TRY(charge_text(node, std::min(left.string()->size(), right.string()->size())));
      order = *left.string() <=> *right.string();
    } else if (left.boolean() != nullptr && right.boolean() != nullptr) {
      order = *left.boolean() <=> *right.boolean();
    }
    if (!order) return wrong(node, fmt::format("{} and {} cannot be compared", left.kind(), right.kind()));
    switch (node.op) {
      case Op::kLess:
        return Value(*order < 0);
      case Op::kLessEqual:
        return Value(*order <= 0);
      case Op::kGreater:
        return Value(*order > 0);
      default:
        return Value(*order >= 0);
    }
  }

  Result<Value> contained(const Node& node, const Value& item, const Value& owner) {
    if (owner.map() != nullptr) {
      return Value(item.string() != nullptr && owner.map()->find(*item.string()).has_value());
    }
    if (owner.list() == nullptr) return wrong(node, fmt::format("'in' needs a list or a map, not {}", owner.kind()));
    for (const Value& candidate : *owner.list()) {
      ASSIGN(const bool same, equal(node, item, candidate));
      if (same) return Value(true);
    }
    return Value(false);
  }

  Result<Value> text_test(const Node& node, const Value& text, const Value& argument) {
    if (text.string() == nullptr || argument.string() == nullptr) {
      return wrong(node, fmt::format("strings were expected, not {} and {}", text.kind(), argument.kind()));
    }
    const std::string& whole = *text.string();
    const std::string& part = *argument.string();
    if (node.op == Op::kStartsWith) return Value(whole.starts_with(part));
    if (node.op == Op::kEndsWith) return Value(whole.ends_with(part));
    if (node.op == Op::kContains) {
      // std::string looks for the first byte and then compares: at worst the product of both.
      TRY(charge(node, whole.size() / 64 * (part.size() / 64 + 1)));
      return Value(whole.find(part) != std::string::npos);
    }
    std::optional<Regex> pattern = node.pattern;
    if (!pattern) {
      TRY(charge(node, part.size()));
      auto parsed = Regex::parse(part);
      if (!parsed) return wrong(node, parsed.error().message);
      pattern = *std::move(parsed);
    }
    TRY(charge(node, whole.size() * pattern->states() / 16));
    return Value(pattern->found_in(whole));
  }

  Result<Value> arithmetic(const Node& node, const Value& left, const Value& right) {
    if (left.integer() != nullptr && right.integer() != nullptr) {
      return integers(node, *left.integer(), *right.integer());
    }
    if (const auto a = as_real(left), b = as_real(right); a && b) {
      switch (node.op) {
        case Op::kAdd:
          return Value(*a + *b);
        case Op::kSubtract:
          return Value(*a - *b);
        case Op::kMultiply:
          return Value(*a * *b);
        case Op::kDivide:
          return divide(*a, *b);
        default:
          return wrong(node, "'%' needs ints");
      }
    }
    if (node.op == Op::kAdd && left.string() != nullptr && right.string() != nullptr) {
      TRY(charge_text(node, left.string()->size() + right.string()->size()));
      return Value(*left.string() + *right.string());
    }
    if (node.op == Op::kAdd && left.list() != nullptr && right.list() != nullptr) {
      TRY(charge(node, left.list()->size() + right.list()->size()));
      Value::List both = *left.list();
      both.insert(both.end(), right.list()->begin(), right.list()->end());
      return Value(std::move(both));
    }
    return wrong(node, fmt::format("this does not apply to {} and {}", left.kind(), right.kind()));
  }

  static Value divide(double a, double b) {
    if (b != 0) return Value(a / b);
    if (a == 0 || std::isnan(a)) return Value(std::nan(""));
    const bool negative = std::signbit(a) != std::signbit(b);
    return Value(negative ? -HUGE_VAL : HUGE_VAL);
  }

  Result<Value> integers(const Node& node, std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    bool overflow = false;
    switch (node.op) {
      case Op::kAdd:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
      case Op::kSubtract:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
      case Op::kMultiply:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
      default:
        if (b == 0) return wrong(node, "division by zero");
        overflow = a == INT64_MIN && b == -1;
        if (!overflow) result = node.op == Op::kDivide ? a / b : a % b;
    }
    if (overflow) return wrong(node, "overflow");
    return Value(result);
  }

  const Tree& tree_;
  const Record& variables_;
  std::uint64_t cost_ = 0;
};

}  // namespace

std::string_view Value::kind() const {
  constexpr std::string_view kNames[] = {"null", "bool", "int", "double", "string", "list", "map"};
  return kNames[state_.index()];
}

Result<Value> Expression::evaluate(const Record& variables) const {
  return Evaluation(*tree_, variables).value_of(tree_->root);
}

Result<bool> Expression::test(const Record& variables) const {
  ASSIGN(const Value value, evaluate(variables));
  if (value.boolean() == nullptr) {
    return Error{Errc::kInvalidArgument, fmt::format("the value is {}, not bool", value.kind())};
  }
  return *value.boolean();
}

const std::string& Expression::text() const { return tree_->text; }

}  // namespace caisson::sdk
