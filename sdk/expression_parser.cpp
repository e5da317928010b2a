#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "sdk/expression_tree.hpp"

namespace caisson::sdk {

namespace {

using Tree = Expression::Tree;
using Node = Tree::Node;
using Op = Tree::Op;
using Index = std::uint32_t;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return starts_name(c) || is_digit(c); }

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | (code >> 6));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

struct Operator {
  std::string_view text;
  Op op;
};

/// Recursive descent, one function per precedence of CEL's grammar, the weakest first.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::shared_ptr<const Tree>> parse() {
    ASSIGN(const Index root, choice());
    skip_space();
    if (at_ < text_.size()) return wrong(at_, "an operator or the end was expected");
    tree_->root = root;
    tree_->text = std::string(text_);
    return std::shared_ptr<const Tree>(tree_);
  }

 private:
  // choice = or ["?" or ":" choice]
  Result<Index> choice() {
    if (++depth_ > Expression::kMaxDepth) return wrong(at_, "the expression is nested too deeply");
    auto result = choice_inside();
    --depth_;
    return result;
  }

  Result<Index> choice_inside() {
    ASSIGN(const Index condition, any_of());
    const std::size_t position = at_;
    if (!take("?")) return condition;
    ASSIGN(const Index yes, any_of());
    if (!take(":")) return wrong(at_, "':' was expected");
    ASSIGN(const Index no, choice());
    return add(Op::kChoose, position, {condition, yes, no});
  }

  Result<Index> any_of() {
    return chain("||", Op::kOr, [this] { return all_of(); });
  }
  Result<Index> all_of() {
    return chain("&&", Op::kAnd, [this] { return relation(); });
  }

  /// One node for a whole row of && or ||, so that long rows are not deep.
  template <class Next>
  Result<Index> chain(std::string_view symbol, Op op, Next next) {
    ASSIGN(const Index first, next());
    std::vector<Index> operands{first};
    skip_space();
    const std::size_t position = at_;
    while (take(symbol)) {
      ASSIGN(const Index operand, next());
      operands.push_back(operand);
    }
    if (operands.size() == 1) return first;
    return add(op, position, std::move(operands));
  }

  Result<Index> relation() {
    constexpr Operator kRelations[] = {{"==", Op::kEqual},        {"!=", Op::kNotEqual}, {"<=", Op::kLessEqual},
                                       {">=", Op::kGreaterEqual}, {"<", Op::kLess},      {">", Op::kGreater}};
    ASSIGN(Index left, sum());
    while (true) {
      skip_space();
      const std::size_t position = at_;
      std::optional<Op> op = take_one_of(kRelations);
      if (!op && take_word("in")) op = Op::kIn;
      if (!op) return left;
      ASSIGN(const Index right, sum());
      ASSIGN(left, add(*op, position, {left, right}));
    }
  }

  Result<Index> sum() {
    constexpr Operator kSums[] = {{"+", Op::kAdd}, {"-", Op::kSubtract}};
    return left_to_right(kSums, [this] { return product(); });
  }
  Result<Index> product() {
    constexpr Operator kProducts[] = {{"*", Op::kMultiply}, {"/", Op::kDivide}, {"%", Op::kModulo}};
    return left_to_right(kProducts, [this] { return unary(); });
  }

  template <std::size_t N, class Next>
  Result<Index> left_to_right(const Operator (&operators)[N], Next next) {
    ASSIGN(Index left, next());
    while (true) {
      skip_space();
      const std::size_t position = at_;
      const std::optional<Op> op = take_one_of(operators);
      if (!op) return left;
      ASSIGN(const Index right, next());
      ASSIGN(left, add(*op, position, {left, right}));
    }
  }

  Result<Index> unary() {
    skip_space();
    const std::size_t position = at_;
    const bool negation = peek() == '!' && peek(1) != '=';
    const bool minus = peek() == '-' && !is_digit(peek(1)) && peek(1) != '.';
    if (!negation && !minus) return member();
    ++at_;
    if (++depth_ > Expression::kMaxDepth) return wrong(position, "the expression is nested too deeply");
    ASSIGN(const Index operand, unary());
    --depth_;
    return add(negation ? Op::kNot : Op::kNegate, position, {operand});
  }

  // member = primary { "." name ["(" arguments ")"] | "[" choice "]" }
  Result<Index> member() {
    ASSIGN(Index value, primary());
    while (true) {
      skip_space();
      const std::size_t position = at_;
      if (take("[")) {
        ASSIGN(const Index index, choice());
        if (!take("]")) return wrong(at_, "']' was expected");
        ASSIGN(value, add(Op::kIndex, position, {value, index}));
      } else if (take(".")) {
        skip_space();
        const std::size_t name_at = at_;
        const std::string name(word());
        if (name.empty()) return wrong(name_at, "a field's name was expected");
        if (take("(")) {
          ASSIGN(value, method(name, name_at, value));
        } else {
          ASSIGN(value, add(Op::kField, name_at, {value}, name));
        }
      } else {
        return value;
      }
    }
  }

  Result<Index> method(const std::string& name, std::size_t position, Index self) {
    ASSIGN(std::vector<Index> operands, arguments(")"));
    operands.insert(operands.begin(), self);
    if (name == "size" && operands.size() == 1) return add(Op::kSize, position, std::move(operands));
    constexpr Operator kMethods[] = {{"startsWith", Op::kStartsWith},
                                     {"endsWith", Op::kEndsWith},
                                     {"contains", Op::kContains},
                                     {"matches", Op::kMatches}};
    for (const Operator& known : kMethods) {
      if (name != known.text) continue;
      if (operands.size() != 2) return wrong(position, fmt::format("{}() takes one argument", name));
      return add_call(known.op, position, std::move(operands));
    }
    return wrong(position, fmt::format("there is no function {}() of a value", name));
  }

  Result<Index> function(const std::string& name, std::size_t position) {
    ASSIGN(std::vector<Index> operands, arguments(")"));
    if (name == "matches" && operands.size() == 2) return add_call(Op::kMatches, position, std::move(operands));
    constexpr Operator kFunctions[] = {{"has", Op::kHas},
                                       {"size", Op::kSize},
                                       {"int", Op::kToInt},
                                       {"double", Op::kToDouble},
                                       {"string", Op::kToString}};
    for (const Operator& known : kFunctions) {
      if (name != known.text) continue;
      if (operands.size() != 1) return wrong(position, fmt::format("{}() takes one argument", name));
      if (known.op != Op::kHas) return add(known.op, position, std::move(operands));
      Node& field = tree_->nodes[operands[0]];
      if (field.op != Op::kField) return wrong(position, "has() takes a field, as in has(event.type)");
      field.op = Op::kHas;
      return operands[0];
    }
    return wrong(position, fmt::format("there is no function {}()", name));
  }

  /// A pattern that is written out is checked and prepared now.
  Result<Index> add_call(Op op, std::size_t position, std::vector<Index> operands) {
    std::optional<Regex> pattern;
    const Node& argument = tree_->nodes[operands[1]];
    if (op == Op::kMatches && argument.op == Op::kLiteral && argument.literal.string() != nullptr) {
      auto parsed = Regex::parse(*argument.literal.string());
      if (!parsed) return wrong(argument.position, parsed.error().message);
      pattern = *std::move(parsed);
    }
    ASSIGN(const Index index, add(op, position, std::move(operands)));
    tree_->nodes[index].pattern = std::move(pattern);
    return index;
  }

  Result<std::vector<Index>> arguments(std::string_view close) {
    std::vector<Index> found;
    if (take(close)) return found;
    while (true) {
      ASSIGN(const Index argument, choice());
      found.push_back(argument);
      if (take(close)) return found;
      if (!take(",")) return wrong(at_, fmt::format("',' or '{}' was expected", close));
      if (close == "]" && take(close)) return found;
    }
  }

  Result<Index> primary() {
    skip_space();
    const std::size_t position = at_;
    const char c = peek();
    if (take("(")) {
      ASSIGN(const Index inside, choice());
      if (!take(")")) return wrong(at_, "')' was expected");
      return inside;
    }
    if (take("[")) {
      ASSIGN(std::vector<Index> items, arguments("]"));
      return add(Op::kList, position, std::move(items));
    }
    if (c == '"' || c == '\'') return string_literal(false);
    if ((c == 'r' || c == 'R') && (peek(1) == '"' || peek(1) == '\'')) {
      ++at_;
      return string_literal(true);
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(1))) || c == '-') return number();
    const std::string name(word());
    if (name.empty()) {
      return wrong(position, at_ == text_.size() ? "the expression ends too early" : "a value was expected");
    }
    if (name == "true" || name == "false") return literal(position, name == "true");
    if (name == "null") return literal(position, Value());
    if (name == "in") return wrong(position, "a value was expected");
    if (take("(")) return function(name, position);
    return add(Op::kName, position, {}, name);
  }

  Result<Index> number() {
    const std::size_t position = at_;
    const char* const end = text_.data() + text_.size();
    const bool negative = peek() == '-';
    if (negative) ++at_;
    const char* first = text_.data() + at_;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
      return integer(position, first + 2, end, negative, 16);
    }
    const char* after = first;
    while (after < end && is_digit(*after)) ++after;
    const bool fraction = after + 1 < end && *after == '.' && is_digit(after[1]);
    if (!fraction && (after == end || (*after != 'e' && *after != 'E'))) {
      return integer(position, first, end, negative, 10);
    }
    double value = 0;
    // Longer numbers end in an error below.
    const std::string spelled = (*first == '.' ? "0" : "") + std::string(first, std::min(end, first + 64));
    const auto parsed = std::from_chars(spelled.data(), spelled.data() + spelled.size(), value);
    if (parsed.ec != std::errc()) return wrong(position, "not a number");
    at_ += static_cast<std::size_t>(parsed.ptr - spelled.data()) - (*first == '.' ? 1 : 0);
    if (in_name(peek())) return wrong(at_, "not a number");
    return literal(position, negative ? -value : value);
  }

  Result<Index> integer(std::size_t position, const char* first, const char* end, bool negative, int base) {
    std::uint64_t magnitude = 0;
    const auto parsed = std::from_chars(first, end, magnitude, base);
    const std::uint64_t most = std::uint64_t{1} << 63;
    if (parsed.ec == std::errc::invalid_argument) return wrong(position, "not a number");
    if (parsed.ec != std::errc() || magnitude > (negative ? most : most - 1)) {
      return wrong(position, "the number is too large");
    }
    at_ = static_cast<std::size_t>(parsed.ptr - text_.data());
    if (peek() == 'u' || peek() == 'U') ++at_;
    if (in_name(peek())) return wrong(at_, "not a number");
    const auto value = static_cast<std::int64_t>(negative ? 0 - magnitude : magnitude);
    return literal(position, value);
  }

  Result<Index> string_literal(bool raw) {
    const std::size_t position = at_;
    const char quote = text_[at_++];
    std::string value;
    while (true) {
      if (at_ >= text_.size()) return wrong(position, "the string has no end");
      const char c = text_[at_++];
      if (c == quote) return literal(position, std::move(value));
      if (c != '\\' || raw) {
        value += c;
        continue;
      }
      TRY(escape(value));
    }
  }

  Result<void> escape(std::string& value) {
    const std::size_t position = at_ - 1;
    const char c = peek();
    ++at_;
    constexpr std::string_view kNames = "abfnrtv\\\"'`?";
    constexpr std::string_view kBytes = "\a\b\f\n\r\t\v\\\"'`?";
    if (const std::size_t known = kNames.find(c); c != '\0' && known != std::string_view::npos) {
      value += kBytes[known];
      return ok();
    }
    const bool octal = c >= '0' && c <= '3';
    const std::size_t digits = octal ? 3 : c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (octal) --at_;
    std::uint32_t code = 0;
    const std::size_t left = at_ <= text_.size() ? text_.size() - at_ : 0;
    if (digits == 0 || left < digits) return wrong(position, "no such escape");
    const char* const first = text_.data() + at_;
    const auto parsed = std::from_chars(first, first + digits, code, octal ? 8 : 16);
    if (parsed.ec != std::errc() || parsed.ptr != first + digits || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000)) {
      return wrong(position, "no such escape");
    }
    at_ += digits;
    append_utf8(value, code);
    return ok();
  }

  Result<Index> literal(std::size_t position, Value value) {
    ASSIGN(const Index index, add(Op::kLiteral, position, {}));
    tree_->nodes[index].literal = std::move(value);
    return index;
  }

  Result<Index> add(Op op, std::size_t position, std::vector<Index> operands, std::string name = {}) {
    Node node;
    node.op = op;
    node.position = static_cast<std::uint32_t>(position);
    for (const Index operand : operands) node.depth = std::max(node.depth, tree_->nodes[operand].depth + 1);
    // Rows such as a+b+c are deep without being nested; the evaluation walks them all the same.
    if (node.depth > 4 * Expression::kMaxDepth) return wrong(position, "the expression is nested too deeply");
    node.operands = std::move(operands);
    node.name = std::move(name);
    tree_->nodes.push_back(std::move(node));
    return static_cast<Index>(tree_->nodes.size() - 1);
  }

  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void skip_space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }
  bool take(std::string_view symbol) {
    skip_space();
    if (!text_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  bool take_word(std::string_view name) {
    skip_space();
    if (!text_.substr(at_).starts_with(name) || in_name(peek(name.size()))) return false;
    at_ += name.size();
    return true;
  }
  template <std::size_t N>
  std::optional<Op> take_one_of(const Operator (&operators)[N]) {
    for (const Operator& candidate : operators) {
      if (take(candidate.text)) return candidate.op;
    }
    return std::nullopt;
  }
  std::string_view word() {
    const std::size_t first = at_;
    if (at_ < text_.size() && starts_name(peek())) {
      while (at_ < text_.size() && in_name(peek())) ++at_;
    }
    return text_.substr(first, at_ - first);
  }

  static Error wrong(std::size_t position, std::string_view what) {
    return {Errc::kInvalidArgument, fmt::format("character {}: {}", position + 1, what)};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::shared_ptr<Tree> tree_ = std::make_shared<Tree>();
};

}  // namespace

Result<Expression> Expression::parse(std::string_view text) {
  if (text.size() > kMaxLength) {
    return Error{Errc::kInvalidArgument, fmt::format("the expression is over {} characters", kMaxLength)};
  }
  ASSIGN(auto tree, Parser(text).parse());
  return Expression(std::move(tree));
}

}  // namespace caisson::sdk
