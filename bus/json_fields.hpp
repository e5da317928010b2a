#pragma once

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// Reading JSON that another process or a person wrote into typed fields. Include it in source files
/// only: simdjson is large.
namespace caisson::json {

/// What is wrong with a value, in words that follow its name ("is not a string"); nothing when it was
/// read. The one who knows where the value stands makes the Error of it.
using Wrong = std::optional<std::string>;

Wrong read(simdjson::dom::element from, std::string& to);
Wrong read(simdjson::dom::element from, bool& to);
Wrong read(simdjson::dom::element from, std::vector<std::string>& to);

/// A whole number between the two.
template <class Number>
Wrong read_between(simdjson::dom::element from, std::int64_t least, std::int64_t most, Number& to) {
  std::int64_t number = 0;
  if (from.get(number) != simdjson::SUCCESS || number < least || number > most) {
    return fmt::format("is not a whole number from {} to {}", least, most);
  }
  to = static_cast<Number>(number);
  return std::nullopt;
}

/// A whole number the field has room for; negative ones only as -1, which stands for "no limit".
template <class Number>
requires std::is_integral_v<Number> Wrong read(simdjson::dom::element from, Number& to) {
  constexpr auto kMost = static_cast<std::int64_t>(
      std::min<std::uint64_t>(std::numeric_limits<Number>::max(), std::numeric_limits<std::int64_t>::max()));
  return read_between(from, std::is_signed_v<Number> ? -1 : 0, kMost, to);
}

/// A member that may be absent, in which case the field keeps its value.
template <class Value>
Wrong read_member(simdjson::dom::object from, std::string_view member, Value& to) {
  simdjson::dom::element value;
  if (from[member].get(value) != simdjson::SUCCESS) return std::nullopt;
  return read(value, to);
}

}  // namespace caisson::json
