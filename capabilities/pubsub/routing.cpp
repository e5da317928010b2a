#include "capabilities/pubsub/routing.hpp"

#include <fmt/format.h>

#include <charconv>
#include <memory>

namespace caisson::pubsub {

namespace {

sdk::Value value_of(const JsonValue& json);

/// A JSON object as an expression sees it; refers to the event, which outlives the evaluation.
class ObjectRecord final : public sdk::Record {
 public:
  explicit ObjectRecord(const JsonValue& object) : object_(object) {}
  [[nodiscard]] std::optional<sdk::Value> find(std::string_view name) const override {
    const JsonValue* const member = object_.find(name);
    return member == nullptr ? std::nullopt : std::optional<sdk::Value>(value_of(*member));
  }
  [[nodiscard]] std::size_t size() const override { return object_.members.size(); }

 private:
  const JsonValue& object_;
};

sdk::Value number_of(const std::string& text) {
  std::int64_t integer = 0;
  const char* const end = text.data() + text.size();
  if (const auto parsed = std::from_chars(text.data(), end, integer); parsed.ec == std::errc() && parsed.ptr == end) {
    return {integer};
  }
  double real = 0;
  std::from_chars(text.data(), end, real);
  return {real};
}

sdk::Value value_of(const JsonValue& json) {
  switch (json.kind) {
    case JsonValue::Kind::kNull:
      return {};
    case JsonValue::Kind::kFalse:
      return {false};
    case JsonValue::Kind::kTrue:
      return {true};
    case JsonValue::Kind::kNumber:
      return number_of(json.text);
    case JsonValue::Kind::kString:
      return {json.text};
    case JsonValue::Kind::kArray: {
      sdk::Value::List items;
      items.reserve(json.items.size());
      for (const JsonValue& item : json.items) items.push_back(value_of(item));
      return {std::move(items)};
    }
    case JsonValue::Kind::kObject:
      return {std::shared_ptr<const sdk::Record>(std::make_shared<ObjectRecord>(json))};
  }
  return {};
}

/// The one variable of a rule.
class EventVariable final : public sdk::Record {
 public:
  explicit EventVariable(const JsonValue& event) : event_(event) {}
  [[nodiscard]] std::optional<sdk::Value> find(std::string_view name) const override {
    if (name != "event") return std::nullopt;
    return value_of(event_);
  }
  [[nodiscard]] std::size_t size() const override { return 1; }

 private:
  const JsonValue& event_;
};

}  // namespace

Router::Router(const config::Subscription& subscription, Paths paths) {
  const bool may_be_empty = paths == Paths::kMayBeEmpty;
  if (!subscription.default_path.empty() || (may_be_empty && subscription.rules.empty())) {
    default_path_ = subscription.default_path;
  }
  for (const config::RoutingRule& document : subscription.rules) {
    if (document.path.empty() && !may_be_empty) continue;
    Rule rule;
    rule.path = document.path;
    if (!document.match.empty()) {
      auto condition = sdk::Expression::parse(document.match);
      if (!condition) {
        if (problem_.empty()) {
          problem_ = fmt::format("the rule '{}' is passed over: {}", document.match, condition.error().message);
        }
        continue;
      }
      rule.condition = *std::move(condition);
    }
    rules_.push_back(std::move(rule));
  }
}

std::optional<std::string> Router::route(const JsonValue& event) const {
  const EventVariable variables(event);
  for (const Rule& rule : rules_) {
    if (!rule.condition) return rule.path;
    const auto holds = rule.condition->test(variables);
    if (holds && *holds) return rule.path;
  }
  return default_path_;
}

}  // namespace caisson::pubsub
