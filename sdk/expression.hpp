#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bus/result.hpp"

/// Conditions as users write them in configuration: the part of CEL that trip conditions of circuit
/// breakers and routing rules of subscriptions use.
namespace caisson::sdk {

class Value;

/// Named values: the variables of an expression, or a map inside one.
class Record {
 public:
  virtual ~Record() = default;
  /// The value under `name`; nothing when there is none.
  [[nodiscard]] virtual std::optional<Value> find(std::string_view name) const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
};

/// A value: null, bool, int, double, string, list or map. Cheap to copy but for strings.
class Value {
 public:
  using List = std::vector<Value>;

  Value() = default;
  Value(bool value) : state_(value) {}
  Value(std::int64_t value) : state_(value) {}
  Value(int value) : state_(std::int64_t{value}) {}
  Value(double value) : state_(value) {}
  Value(std::string value) : state_(std::move(value)) {}
  Value(std::string_view value) : state_(std::string(value)) {}
  Value(const char* value) : state_(std::string(value)) {}
  Value(List value) : state_(std::make_shared<const List>(std::move(value))) {}
  Value(std::shared_ptr<const Record> value) : state_(std::move(value)) {}

  [[nodiscard]] bool is_null() const { return state_.index() == 0; }
  /// The value of that kind, null when it is of another.
  [[nodiscard]] const bool* boolean() const { return std::get_if<bool>(&state_); }
  [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&state_); }
  [[nodiscard]] const double* real() const { return std::get_if<double>(&state_); }
  [[nodiscard]] const std::string* string() const { return std::get_if<std::string>(&state_); }
  [[nodiscard]] const List* list() const {
    const auto* list = std::get_if<std::shared_ptr<const List>>(&state_);
    return list == nullptr ? nullptr : list->get();
  }
  [[nodiscard]] const Record* map() const {
    const auto* map = std::get_if<std::shared_ptr<const Record>>(&state_);
    return map == nullptr ? nullptr : map->get();
  }
  /// "null", "bool", "int", … for messages.
  [[nodiscard]] std::string_view kind() const;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, std::shared_ptr<const List>,
               std::shared_ptr<const Record>>
      state_;
};

/// A Record of values that are there already.
class MapRecord final : public Record {
 public:
  MapRecord() = default;
  explicit MapRecord(std::map<std::string, Value, std::less<>> values) : values_(std::move(values)) {}
  [[nodiscard]] std::optional<Value> find(std::string_view name) const override {
    const auto found = values_.find(name);
    return found == values_.end() ? std::nullopt : std::optional<Value>(found->second);
  }
  [[nodiscard]] std::size_t size() const override { return values_.size(); }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

/// A parsed expression; immutable, cheap to copy, usable from any thread.
///
/// Literals (int, double, string, bool, null, list), names, fields (a.b), index (a[0], a["b"]),
/// + - * / %, comparison, && || ! with CEL's rule that an error beside a deciding operand does not
/// count, ?:, in, has(a.b), size, int, double, string, startsWith, endsWith, contains, matches.
/// A missing name or field is an error of the evaluation, as is an overflow or a division by zero.
class Expression {
 public:
  static constexpr std::size_t kMaxLength = 8192;
  /// Nesting of the expression.
  static constexpr std::size_t kMaxDepth = 64;
  /// Work of one evaluation: about one per operation, and more for long texts and lists.
  static constexpr std::uint64_t kMaxCost = 1'000'000;

  /// kInvalidArgument says what is wrong, and at which character (from 1).
  static Result<Expression> parse(std::string_view text);

  /// kInvalidArgument: a wrong type, a missing name, …; kResourceExhausted: over kMaxCost.
  [[nodiscard]] Result<Value> evaluate(const Record& variables) const;
  /// The same where the value must be a bool.
  [[nodiscard]] Result<bool> test(const Record& variables) const;

  [[nodiscard]] const std::string& text() const;

  struct Tree;

 private:
  explicit Expression(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {}
  std::shared_ptr<const Tree> tree_;
};

}  // namespace caisson::sdk
