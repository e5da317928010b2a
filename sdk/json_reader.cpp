#include "sdk/json_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "bus/json_writer.hpp"

namespace caisson::sdk {

namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;

void append_utf8(std::string& out, std::uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// Bytes of the UTF-8 sequence at `at`, zero when it is none (RFC 3629).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return 0;
  std::uint32_t c = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xC0) != 0x80) return 0;
    c = c << 6 | (next & 0x3F);
  }
  const bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
  return overlong || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : length;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string valid_utf8(std::string text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) break;
    at += length;
  }
  if (at == text.size()) return text;
  std::string out = text.substr(0, at);
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) {
      append_utf8(out, kReplacement);
    } else {
      out.append(text, at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return out;
}

Error JsonReader::error(std::string_view what) const {
  return {Errc::kInvalidArgument, fmt::format("{} at byte {}", what, at_)};
}

void JsonReader::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    ++at_;
  }
}

bool JsonReader::take(char c) {
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

JsonReader::Kind JsonReader::kind() {
  skip_space();
  if (at_ >= text_.size()) return Kind::kNone;
  switch (text_[at_]) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    case '-':
      return Kind::kNumber;
    default:
      return is_digit(text_[at_]) ? Kind::kNumber : Kind::kNone;
  }
}

Result<void> JsonReader::enter() {
  ++at_;
  if (++depth_ > kMaxJsonDepth) return error("JSON is nested too deeply");
  skip_space();
  return ok();
}

Result<void> JsonReader::read_object(const VisitMember& visit) {
  if (kind() != Kind::kObject) return error("expected an object");
  TRY(enter());
  if (!take('}')) {
    while (true) {
      if (kind() != Kind::kString) return error("expected a member's name");
      ASSIGN(const std::string name, read_string());
      skip_space();
      if (!take(':')) return error("expected ':'");
      TRY(visit(name));
      skip_space();
      if (take('}')) break;
      if (!take(',')) return error("expected ',' or '}'");
    }
  }
  --depth_;
  return ok();
}

Result<void> JsonReader::read_array(const VisitElement& visit) {
  if (kind() != Kind::kArray) return error("expected an array");
  TRY(enter());
  if (!take(']')) {
    while (true) {
      TRY(visit());
      skip_space();
      if (take(']')) break;
      if (!take(',')) return error("expected ',' or ']'");
    }
  }
  --depth_;
  return ok();
}

Result<std::string> JsonReader::read_string() {
  if (kind() != Kind::kString) return error("expected a string");
  ++at_;
  const std::string_view text = text_;
  std::string out;
  bool ascii = true;
  while (true) {
    const std::size_t from = at_;
    while (true) {
      at_ += plain_json_length(text.substr(at_));
      if (at_ >= text.size() || static_cast<unsigned char>(text[at_]) < 0x80) break;
      ascii = false;
      ++at_;
    }
    out.append(text, from, at_ - from);
    if (at_ >= text.size()) return error("a string has no end");
    if (take('"')) break;
    if (!take('\\')) return error("control character in a string");
    TRY(read_escape(out));
  }
  // What an escape stands for is always UTF-8.
  if (!ascii) out = valid_utf8(std::move(out));
  return out;
}

Result<void> JsonReader::read_escape(std::string& out) {
  if (at_ >= text_.size()) return error("a string has no end");
  switch (text_[at_++]) {
    case '"':
      out += '"';
      return ok();
    case '\\':
      out += '\\';
      return ok();
    case '/':
      out += '/';
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
      break;
    default:
      return error("unknown escape in a string");
  }
  ASSIGN(std::uint32_t c, read_hex4());
  if (c >= 0xD800 && c < 0xDC00 && text_.compare(at_, 2, "\\u") == 0) {
    const std::size_t second = at_;
    at_ += 2;
    ASSIGN(const std::uint32_t low, read_hex4());
    if (low >= 0xDC00 && low < 0xE000) {
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else {
      at_ = second;  // it stands for itself
    }
  }
  append_utf8(out, c >= 0xD800 && c < 0xE000 ? kReplacement : c);
  return ok();
}

Result<std::uint32_t> JsonReader::read_hex4() {
  std::uint32_t c = 0;
  if (at_ + 4 > text_.size()) return error("a string has no end");
  const char* const end = text_.data() + at_ + 4;
  const auto parsed = std::from_chars(text_.data() + at_, end, c, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end) return error("\\u needs four hexadecimal digits");
  at_ += 4;
  return c;
}

bool JsonReader::take_digits() {
  const std::size_t from = at_;
  while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  return at_ > from;
}

Result<std::string> JsonReader::read_number_text() {
  if (kind() != Kind::kNumber) return error("expected a number");
  const std::size_t from = at_;
  take('-');
  if (!take('0') && !take_digits()) return error("a number needs digits");
  if (take('.') && !take_digits()) return error("a number needs digits after '.'");
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    if (!take_digits()) return error("a number needs digits in its exponent");
  }
  return text_.substr(from, at_ - from);
}

Result<double> JsonReader::read_number() {
  ASSIGN(const std::string literal, read_number_text());
  double number = 0;
  const auto parsed = std::from_chars(literal.data(), literal.data() + literal.size(), number);
  if (parsed.ec == std::errc::result_out_of_range) {
    // Too small is zero, or nearly; too large is an error. from_chars tells neither from the other.
    number = std::strtod(literal.c_str(), nullptr);
    if (std::isinf(number)) return error("a number is too large for a float64");
  }
  return number;
}

Result<void> JsonReader::take_word(std::string_view word) {
  if (text_.compare(at_, word.size(), word) != 0) return error(fmt::format("expected '{}'", word));
  at_ += word.size();
  return ok();
}

Result<bool> JsonReader::read_bool() {
  if (kind() != Kind::kBool) return error("expected true or false");
  const bool value = text_[at_] == 't';
  TRY(take_word(value ? "true" : "false"));
  return value;
}

Result<void> JsonReader::read_null() {
  if (kind() != Kind::kNull) return error("expected null");
  return take_word("null");
}

Result<void> JsonReader::skip() {
  switch (kind()) {
    case Kind::kObject:
      return read_object([this](const std::string&) { return skip(); });
    case Kind::kArray:
      return read_array([this] { return skip(); });
    case Kind::kString:
      TRY(read_string());
      return ok();
    case Kind::kNumber:
      TRY(read_number());
      return ok();
    case Kind::kBool:
      TRY(read_bool());
      return ok();
    case Kind::kNull:
      return read_null();
    case Kind::kNone:
      break;
  }
  return error(at_ >= text_.size() ? "unexpected end of JSON input" : "expected a value");
}

Result<void> JsonReader::expect_end() {
  skip_space();
  return at_ == text_.size() ? ok() : Result<void>(error("unexpected text after the JSON value"));
}

}  // namespace caisson::sdk
