#include "capabilities/pubsub/json_value.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/wire.hpp"

namespace caisson::pubsub {

namespace {

constexpr int kDeepest = 200;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// Recursive descent over one text.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<JsonValue> parse() {
    JsonValue value;
    TRY(read_value(value, 0));
    skip_space();
    if (at_ != text_.size()) return wrong("text after the value");
    return value;
  }

 private:
  [[nodiscard]] Error wrong(std::string_view what) const {
    return {Errc::kInvalidArgument, fmt::format("JSON: {} at byte {}", what, at_)};
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Result<void> take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return wrong("an unknown word");
    at_ += word.size();
    return ok();
  }

  Result<void> read_value(JsonValue& value, int depth) {
    if (depth > kDeepest) return wrong("too many levels");
    skip_space();
    switch (peek()) {
      case '{':
        return read_object(value, depth);
      case '[':
        return read_array(value, depth);
      case '"':
        value.kind = JsonValue::Kind::kString;
        return read_string(value.text);
      case 't':
        value.kind = JsonValue::Kind::kTrue;
        return take_word("true");
      case 'f':
        value.kind = JsonValue::Kind::kFalse;
        return take_word("false");
      case 'n':
        value.kind = JsonValue::Kind::kNull;
        return take_word("null");
      default:
        return read_number(value);
    }
  }

  Result<void> read_object(JsonValue& value, int depth) {
    value.kind = JsonValue::Kind::kObject;
    take('{');
    skip_space();
    if (take('}')) return ok();
    while (true) {
      skip_space();
      if (peek() != '"') return wrong("no member name");
      auto& [name, member] = value.members.emplace_back();
      TRY(read_string(name));
      skip_space();
      if (!take(':')) return wrong("no ':'");
      TRY(read_value(member, depth + 1));
      skip_space();
      if (take('}')) break;
      if (!take(',')) return wrong("neither ',' nor '}'");
    }
    keep_last_of_each(value.members);
    return ok();
  }

  /// Sorted by name, the last of equal ones.
  static void keep_last_of_each(std::vector<JsonMember>& members) {
    std::ranges::stable_sort(members, {}, &JsonMember::name);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i + 1 < members.size() && members[i].name == members[i + 1].name) continue;
      if (kept != i) members[kept] = std::move(members[i]);
      ++kept;
    }
    members.resize(kept);
  }

  Result<void> read_array(JsonValue& value, int depth) {
    value.kind = JsonValue::Kind::kArray;
    take('[');
    skip_space();
    if (take(']')) return ok();
    while (true) {
      TRY(read_value(value.items.emplace_back(), depth + 1));
      skip_space();
      if (take(']')) return ok();
      if (!take(',')) return wrong("neither ',' nor ']'");
    }
  }

  Result<void> read_number(JsonValue& value) {
    value.kind = JsonValue::Kind::kNumber;
    const std::size_t begin = at_;
    take('-');
    if (!take('0')) {
      if (!is_digit(peek())) return wrong("no value");
      while (is_digit(peek())) ++at_;
    }
    if (take('.')) {
      if (!is_digit(peek())) return wrong("no digit after '.'");
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) return wrong("no exponent");
      while (is_digit(peek())) ++at_;
    }
    value.text = text_.substr(begin, at_ - begin);
    return ok();
  }

  Result<void> read_string(std::string& out) {
    take('"');
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return ok();
      }
      if (static_cast<unsigned char>(c) < 0x20) return wrong("a control character in a string");
      ++at_;
      if (c != '\\') {
        out += c;
        continue;
      }
      TRY(read_escape(out));
    }
    return wrong("a string without end");
  }

  Result<void> read_escape(std::string& out) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return ok();
      case 'b':
        out += '\b';
        return ok();
      case 'f':
        out += '\f';
        return ok();
      case 'n':
        out += '\n';
        return ok();
      case 'r':
        out += '\r';
        return ok();
      case 't':
        out += '\t';
        return ok();
      case 'u':
        return read_code(out);
      default:
        --at_;
        return wrong("an unknown escape");
    }
  }

  Result<void> read_code(std::string& out) {
    ASSIGN(std::uint32_t code, read_hex());
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const std::size_t back = at_;
      at_ += 2;
      ASSIGN(const std::uint32_t low, read_hex());
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = back;  // not a pair: the second one stands for itself
      }
    }
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    append_utf8(out, code);
    return ok();
  }

  Result<std::uint32_t> read_hex() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      code <<= 4;
      if (is_digit(c)) {
        code |= static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        code |= static_cast<std::uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        code |= static_cast<std::uint32_t>(c - 'A' + 10);
      } else {
        return wrong("no hexadecimal digit");
      }
    }
    return code;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

JsonValue JsonValue::string(std::string_view text) {
  JsonValue value;
  value.kind = Kind::kString;
  value.text = text;
  return value;
}

JsonValue JsonValue::object() {
  JsonValue value;
  value.kind = Kind::kObject;
  return value;
}

const JsonValue* JsonValue::find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

const JsonValue* JsonValue::find_ignoring_case(std::string_view name) const {
  if (const JsonValue* const exact = find(name)) return exact;
  for (const auto& [key, value] : members) {
    if (equal_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

std::string_view JsonValue::text_of(std::string_view name) const {
  const JsonValue* const value = find(name);
  return value != nullptr && value->is_string() ? std::string_view(value->text) : std::string_view();
}

void JsonValue::set(std::string_view name, JsonValue value) {
  for (auto& [key, old] : members) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  members.push_back(JsonMember{std::string(name), std::move(value)});
}

Result<JsonValue> parse_json(std::string_view text) { return Parser(text).parse(); }

void append_json(std::string& out, const JsonValue& value, HtmlEscape html) {
  switch (value.kind) {
    case JsonValue::Kind::kNull:
      out += "null";
      return;
    case JsonValue::Kind::kFalse:
      out += "false";
      return;
    case JsonValue::Kind::kTrue:
      out += "true";
      return;
    case JsonValue::Kind::kNumber:
      out += value.text;
      return;
    case JsonValue::Kind::kString:
      append_json_string(out, value.text, html);
      return;
    case JsonValue::Kind::kArray: {
      out += '[';
      for (const JsonValue& item : value.items) {
        if (&item != &value.items.front()) out += ',';
        append_json(out, item, html);
      }
      out += ']';
      return;
    }
    case JsonValue::Kind::kObject: {
      std::vector<const JsonMember*> sorted;
      sorted.reserve(value.members.size());
      for (const JsonMember& member : value.members) sorted.push_back(&member);
      std::ranges::sort(sorted, {}, [](const JsonMember* member) -> const std::string& { return member->name; });
      out += '{';
      for (const JsonMember* const member : sorted) {
        if (member != sorted.front()) out += ',';
        append_json_string(out, member->name, html);
        out += ':';
        append_json(out, member->value, html);
      }
      out += '}';
      return;
    }
  }
}

}  // namespace caisson::pubsub
