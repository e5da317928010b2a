#include "capabilities/config/yaml_scalar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

#include "bus/json_writer.hpp"
#include "capabilities/config/yaml_tree.hpp"

namespace caisson::config {

namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

std::optional<std::string> integer(std::string_view digits) {
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    digits.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (digits.empty() || end != digits.data() + digits.size() || error == std::errc::invalid_argument) return {};
  // What no 64 bits hold is kept as it is written.
  if (error == std::errc::result_out_of_range) {
    if (base != 10) return {};
    return fmt::format("{}{}", negative ? "-" : "", digits);
  }
  return fmt::format("{}{}", negative && number != 0 ? "-" : "", number);
}

/// [-+]? (. digits | digits (. digits?)?) ([eE] [-+]? digits)?
bool looks_like_float(std::string_view text) {
  const auto skip_digits = [&text] {
    const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(end);
    return end;
  };
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const std::size_t before = skip_digits();
  std::size_t after = 0;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    after = skip_digits();
  }
  if (before + after == 0) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    if (skip_digits() == 0) return false;
  }
  return text.empty();
}

std::optional<std::string> floating(std::string_view text) {
  if (!looks_like_float(text)) return {};
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return {};
  // Go's encoding/json: plain digits unless the exponent is below -6 or above 20.
  const double size = std::abs(number);
  const bool with_exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  char digits[64];
  const auto written = std::to_chars(digits, std::end(digits), number,
                                     with_exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string json(digits, written.ptr);
  // e-09 is written e-9.
  if (const std::size_t zero = json.find("e-0"); zero != std::string::npos) json.erase(zero + 2, 1);
  return json;
}

void append_json(std::string& out, const YamlNode& node);

void append_scalar(std::string& out, const YamlNode& node) {
  if (!node.plain) return append_json_string(out, node.text, HtmlEscape::kYes);
  const Scalar scalar = resolve_scalar(node.text);
  if (scalar.type == ScalarType::kText) return append_json_string(out, scalar.json, HtmlEscape::kYes);
  out += scalar.json;
}

void append_map(std::string& out, const YamlNode& map) {
  std::map<std::string, const YamlNode*> sorted;
  for (const auto& [key, value] : map.members) sorted[to_value(key)] = &value;
  out += '{';
  for (const auto& [name, value] : sorted) {
    if (out.back() != '{') out += ',';
    append_json_string(out, name, HtmlEscape::kYes);
    out += ':';
    append_json(out, *value);
  }
  out += '}';
}

void append_json(std::string& out, const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      out += "null";
      return;
    case YamlNode::Kind::kScalar:
      return append_scalar(out, node);
    case YamlNode::Kind::kMap:
      return append_map(out, node);
    case YamlNode::Kind::kList:
      break;
  }
  out += '[';
  for (const YamlNode& element : node.elements) {
    if (&element != &node.elements.front()) out += ',';
    append_json(out, element);
  }
  out += ']';
}

}  // namespace

bool is_yaml_null(std::string_view plain) { return is_one_of(plain, {"", "~", "null", "Null", "NULL"}); }

Scalar resolve_scalar(std::string_view plain) {
  if (is_yaml_null(plain)) return {ScalarType::kNull, "null"};
  if (is_one_of(plain, {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})) {
    return {ScalarType::kBool, "true"};
  }
  if (is_one_of(plain, {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})) {
    return {ScalarType::kBool, "false"};
  }
  if (is_one_of(plain.substr(0, 1), {"+", "-", ".", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"})) {
    std::string digits(plain);
    if (plain[0] != '.') std::erase(digits, '_');
    if (auto whole = integer(digits)) return {ScalarType::kNumber, *std::move(whole)};
    if (auto broken = floating(digits)) return {ScalarType::kNumber, *std::move(broken)};
  }
  return {ScalarType::kText, std::string(plain)};
}

std::string to_value(const YamlNode& node) {
  if (node.is_null()) return {};
  if (node.kind == YamlNode::Kind::kScalar) return node.plain ? resolve_scalar(node.text).json : node.text;
  std::string json;
  append_json(json, node);
  return json;
}

Result<bool> to_bool(const YamlNode& node) {
  const Scalar scalar = node.plain ? resolve_scalar(node.text) : Scalar{};
  if (node.kind != YamlNode::Kind::kScalar || scalar.type != ScalarType::kBool) {
    return Error{Errc::kInvalidArgument, "must be true or false, without quotes"};
  }
  return scalar.json == "true";
}

Result<std::int64_t> to_int(const YamlNode& node) {
  const Scalar scalar = node.plain ? resolve_scalar(node.text) : Scalar{};
  std::int64_t number = 0;
  const char* const end = scalar.json.data() + scalar.json.size();
  const auto parsed = std::from_chars(scalar.json.data(), end, number);
  if (node.kind != YamlNode::Kind::kScalar || scalar.type != ScalarType::kNumber || parsed.ec != std::errc() ||
      parsed.ptr != end) {
    return Error{Errc::kInvalidArgument, "must be a whole number, without quotes"};
  }
  return number;
}

}  // namespace caisson::config
