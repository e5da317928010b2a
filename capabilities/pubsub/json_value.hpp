#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/json_writer.hpp"
#include "bus/result.hpp"

namespace caisson::pubsub {

struct JsonMember;

/// A JSON text as a tree that loses nothing an event must keep: numbers stay the text they were
/// (no rounding, no range). A name that occurs twice counts with its last value.
struct JsonValue {
  enum class Kind : std::uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  std::string text;  // a number's literal, a string's characters
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;

  static JsonValue string(std::string_view text);
  static JsonValue object();

  [[nodiscard]] bool is_string() const { return kind == Kind::kString; }
  [[nodiscard]] bool is_array() const { return kind == Kind::kArray; }
  [[nodiscard]] bool is_object() const { return kind == Kind::kObject; }
  [[nodiscard]] bool is_null() const { return kind == Kind::kNull; }

  /// The member of that name; null when there is none.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
  /// An exact match first, else one that differs in ASCII case only.
  [[nodiscard]] const JsonValue* find_ignoring_case(std::string_view name) const;
  /// The member's text where it is a string, else nothing.
  [[nodiscard]] std::string_view text_of(std::string_view name) const;
  /// Adds or replaces a member.
  void set(std::string_view name, JsonValue value);
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

/// Reads one JSON text as sdk::JsonReader does. kInvalidArgument names the offset.
Result<JsonValue> parse_json(std::string_view text);

/// Appends the value: members in alphabetical order, no white space.
void append_json(std::string& out, const JsonValue& value, HtmlEscape html);

}  // namespace caisson::pubsub
