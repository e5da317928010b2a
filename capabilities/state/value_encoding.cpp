#include "capabilities/state/value_encoding.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "bus/json_writer.hpp"

namespace caisson::state {

namespace {

/// One member as written: `"name":value` at this place of the output.
struct Member {
  std::string name;
  std::size_t from = 0;
  std::size_t to = 0;
};

/// Orders the members that were written to `out` from `start` on, where they are not in order yet.
void sort_members(std::string& out, std::size_t start, std::vector<Member>& members) {
  const auto less = [](const Member& a, const Member& b) { return a.name < b.name; };
  const auto same = [](const Member& a, const Member& b) { return a.name == b.name; };
  const bool in_order = std::ranges::is_sorted(members, less);
  if (in_order && std::ranges::adjacent_find(members, same) == members.end()) return;

  std::ranges::stable_sort(members, less);
  std::string sorted;
  sorted.reserve(out.size() - start);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i + 1 < members.size() && same(members[i], members[i + 1])) continue;  // the last one wins
    if (!sorted.empty()) sorted += ',';
    sorted.append(out, members[i].from, members[i].to - members[i].from);
  }
  out.resize(start);
  out += sorted;
}

Result<void> append_object(sdk::JsonReader& json, std::string& out) {
  out += '{';
  const std::size_t start = out.size();
  std::vector<Member> members;
  TRY(json.read_object([&](const std::string& name) -> Result<void> {
    if (!members.empty()) out += ',';
    Member member{name, out.size(), 0};
    append_json_string(out, name, HtmlEscape::kYes);
    out += ':';
    TRY(append_go_json(json, out));
    member.to = out.size();
    members.push_back(std::move(member));
    return ok();
  }));
  sort_members(out, start, members);
  out += '}';
  return ok();
}

Result<void> append_array(sdk::JsonReader& json, std::string& out) {
  out += '[';
  bool first = true;
  TRY(json.read_array([&]() -> Result<void> {
    if (!first) out += ',';
    first = false;
    return append_go_json(json, out);
  }));
  out += ']';
  return ok();
}

/// U+2028 and U+2029 in UTF-8 are E2 80 A8 and E2 80 A9.
bool is_line_separator(std::string_view text, std::size_t at) {
  return text.compare(at, 2, "\xE2\x80") == 0 && at + 2 < text.size() &&
         (text[at + 2] == '\xA8' || text[at + 2] == '\xA9');
}

}  // namespace

void append_go_number(std::string& out, double number) {
  if (number == 0) {
    out += std::signbit(number) ? "-0" : "0";
    return;
  }
  // The shortest digits that give this float64 again, as d.ddde±xx.
  char buffer[40];
  const auto written = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<std::size_t>(written.ptr - buffer));
  if (text.starts_with('-')) {
    out += '-';
    text.remove_prefix(1);
  }
  const std::size_t e = text.find('e');
  int exponent = 0;
  const std::size_t sign = text[e + 1] == '+' ? 2 : 1;  // from_chars takes no '+'
  std::from_chars(text.data() + e + sign, text.data() + text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);

  const double size = std::fabs(number);
  if (size < 1e-6 || size >= 1e21) {
    out += digits[0];
    if (digits.size() > 1) out.append(".").append(digits, 1);
    out += exponent < 0 ? "e-" : "e+";
    out += std::to_string(std::abs(exponent));  // Go's two digits, "e-09", are cut to "e-9" by encoding/json
  } else if (exponent < 0) {
    out.append("0.").append(static_cast<std::size_t>(-exponent - 1), '0').append(digits);
  } else {
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= whole) {
      out.append(digits).append(whole - digits.size(), '0');
    } else {
      out.append(digits, 0, whole).append(".").append(digits, whole);
    }
  }
}

Result<void> append_go_json(sdk::JsonReader& json, std::string& out) {
  using Kind = sdk::JsonReader::Kind;
  switch (json.kind()) {
    case Kind::kObject:
      return append_object(json, out);
    case Kind::kArray:
      return append_array(json, out);
    case Kind::kString: {
      ASSIGN(const std::string text, json.read_string());
      append_json_string(out, text, HtmlEscape::kYes);
      return ok();
    }
    case Kind::kNumber: {
      ASSIGN(const double number, json.read_number());
      append_go_number(out, number);
      return ok();
    }
    case Kind::kBool: {
      ASSIGN(const bool value, json.read_bool());
      out += value ? "true" : "false";
      return ok();
    }
    case Kind::kNull:
      TRY(json.read_null());
      out += "null";
      return ok();
    case Kind::kNone:
      break;
  }
  return json.skip();  // says what is wrong
}

Result<std::string> go_json(std::string text) {
  sdk::JsonReader json(std::move(text));
  std::string out;
  TRY(append_go_json(json, out));
  TRY(json.expect_end());
  return out;
}

Result<std::string> compact_json(std::string text) {
  sdk::JsonReader json(std::move(text));
  TRY(json.skip());
  TRY(json.expect_end());

  const std::string_view source = json.text();
  std::string out;
  out.reserve(source.size());
  bool in_string = false;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (in_string && c == '\\') {
      out.append(source, i, 2);
      ++i;
    } else if (c == '<' || c == '>' || c == '&') {
      out += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    } else if (c == '\xE2' && is_line_separator(source, i)) {
      out += source[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else if (in_string || (c != ' ' && c != '\t' && c != '\n' && c != '\r')) {
      if (c == '"') in_string = !in_string;
      out += c;
    }
  }
  return out;
}

}  // namespace caisson::state
