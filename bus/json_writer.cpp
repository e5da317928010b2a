#include "bus/json_writer.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstring>

namespace caisson {

namespace {

/// Length of the valid UTF-8 sequence at `text[at]`, or 0 (RFC 3629: no overlong forms, no
/// surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const auto continues = [&](std::size_t i) { return at + i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if ((lead & 0xF0) == 0xE0) {
    if (!continues(1) || !continues(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

void append_ascii(std::string& out, char c, HtmlEscape html) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const bool markup = html == HtmlEscape::kYes && (c == '<' || c == '>' || c == '&');
  if (static_cast<unsigned char>(c) < 0x20 || markup) {
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  } else {
    out += c;
  }
}

}  // namespace

namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;

/// High bits where `bytes`, all of them ASCII, are below `limit`. As with every subtraction of bytes in a word, only
/// the lowest such mark is sure: a byte above it may have lent.
constexpr std::uint64_t below(std::uint64_t bytes, std::uint64_t limit) { return bytes - limit * kOnes; }
constexpr std::uint64_t equal(std::uint64_t bytes, char c) {
  return below(bytes ^ (static_cast<std::uint64_t>(static_cast<unsigned char>(c)) * kOnes), 1);
}

/// High bits where a byte cannot stand in a string as it is; the lowest one is sure.
constexpr std::uint64_t marks(std::uint64_t bytes, HtmlEscape html) {
  std::uint64_t found = bytes | below(bytes, 0x20) | equal(bytes, '"') | equal(bytes, '\\');
  if (html == HtmlEscape::kYes) found |= equal(bytes, '<') | equal(bytes, '>') | equal(bytes, '&');
  return found & kHighBits;
}

}  // namespace

// Eight bytes at once: most of what is written and read as JSON is such text.
std::size_t plain_json_length(std::string_view text, HtmlEscape html) {
  static_assert(std::endian::native == std::endian::little, "the lowest byte of a word is the first one");
  std::size_t at = 0;
  std::uint64_t bytes = 0;
  for (; text.size() - at >= sizeof bytes; at += sizeof bytes) {
    std::memcpy(&bytes, text.data() + at, sizeof bytes);
    const std::uint64_t found = marks(bytes, html);
    if (found != 0) return at + static_cast<std::size_t>(std::countr_zero(found)) / 8;
  }
  if (at == text.size()) return at;
  bytes = ~std::uint64_t{0};  // what is behind the end stops the count
  std::memcpy(&bytes, text.data() + at, text.size() - at);
  return at + static_cast<std::size_t>(std::countr_zero(marks(bytes, html))) / 8;
}

void append_json_string(std::string& out, std::string_view text, HtmlEscape html) {
  out.reserve(out.size() + text.size() + 2);  // a string doubles all the same where it must grow
  out += '"';
  std::size_t i = 0;
  while (true) {
    const std::size_t plain = plain_json_length(text.substr(i), html);
    out.append(text, i, plain);
    i += plain;
    if (i == text.size()) break;
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\\ufffd";
      ++i;
      continue;
    }
    const std::string_view character = text.substr(i, length);
    if (length == 1) {
      append_ascii(out, character[0], html);
    } else if (html == HtmlEscape::kYes && character == "\xE2\x80\xA8") {
      out += "\\u2028";
    } else if (html == HtmlEscape::kYes && character == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else {
      out += character;
    }
    i += length;
  }
  out += '"';
}

void JsonWriter::separate() {
  if (!first_) out_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(out_, name, html_);
  out_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  append_json_string(out_, text, html_);
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) { return raw(flag ? "true" : "false"); }
JsonWriter& JsonWriter::value(std::int64_t number) { return raw(fmt::format("{}", number)); }
JsonWriter& JsonWriter::value(std::uint64_t number) { return raw(fmt::format("{}", number)); }
JsonWriter& JsonWriter::value(double number) { return raw(fmt::format("{}", number)); }
JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace caisson
