#include "gateway/trace_context.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <random>

namespace caisson::gateway {

namespace {

constexpr std::size_t kTraceparent = 55;  // 00-{32}-{16}-{2}
constexpr std::size_t kBinaryTrace = 29;
constexpr std::size_t kLongestBaggage = 8192;
constexpr std::size_t kMostMembers = 64;

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

constexpr char kDigits[] = "0123456789abcdef";

void write_hex(char* to, std::uint64_t value) {
  for (int i = 15; i >= 0; --i, value >>= 4) to[i] = kDigits[value & 15];
}

/// Of a digit that is_lower_hex().
unsigned hex_value(char digit) { return static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10); }

std::uint64_t read_hex(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_baggage_key(std::string_view text) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kOther.find(c) != kOther.npos;
  });
}

bool is_baggage_value(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != ',' && c != ';' && c != '\\'; });
}

/// `key=value`, or a key alone where `value_needed` is false.
bool is_pair(std::string_view text, bool value_needed) {
  const auto equals = text.find('=');
  if (equals == text.npos) return !value_needed && is_baggage_key(trim(text));
  return is_baggage_key(trim(text.substr(0, equals))) && is_baggage_value(trim(text.substr(equals + 1)));
}

bool is_member(std::string_view text) {
  bool first = true;
  while (true) {
    const auto end = text.find(';');
    if (!is_pair(trim(text.substr(0, end)), first)) return false;
    if (end == text.npos) return true;
    text.remove_prefix(end + 1);
    first = false;
  }
}

}  // namespace

bool is_traceparent(std::string_view value) {
  if (value.size() < kTraceparent) return false;
  if (value[2] != '-' || value[35] != '-' || value[52] != '-') return false;
  const std::string_view version = value.substr(0, 2);
  const std::string_view trace = value.substr(3, 32);
  const std::string_view span = value.substr(36, 16);
  if (!is_lower_hex(version) || !is_lower_hex(trace) || !is_lower_hex(span)) return false;
  if (!is_lower_hex(value.substr(53, 2)) || version == "ff" || all_zero(trace) || all_zero(span)) return false;
  // A later version may append fields; this one has none.
  return value.size() == kTraceparent || (version != "00" && value[kTraceparent] == '-');
}

bool is_baggage(std::string_view value) {
  if (value.size() > kLongestBaggage) return false;
  std::size_t members = 0;
  while (true) {
    const auto end = value.find(',');
    if (!is_member(trim(value.substr(0, end))) || ++members > kMostMembers) return false;
    if (end == value.npos) return true;
    value.remove_prefix(end + 1);
  }
}

Tracer::Tracer(double rate) {
  std::random_device source;
  state_ = (std::uint64_t{source()} << 32) ^ source();
  set_rate(rate);
}

void Tracer::set_rate(double rate) {
  rate_ = std::clamp(rate, 0.0, 1.0);
  threshold_ =
      rate_ >= 1 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(rate_ * static_cast<double>(std::uint64_t{1} << 63));
}

TraceContext Tracer::begin(std::string_view traceparent) {
  TraceContext context;
  if (rate_ <= 0) return context;
  char* const out = context.text.data();
  context.size = kTraceparent;
  std::memcpy(out, "00-", 3);
  bool sampled = false;
  if (is_traceparent(traceparent)) {
    std::memcpy(out + 3, traceparent.data() + 3, 32);
    sampled = (read_hex(traceparent.substr(53, 2)) & 1) != 0;
  } else {
    const std::uint64_t low = random() | 1;
    write_hex(out + 3, random());
    write_hex(out + 19, low);
    sampled = (low >> 1) < threshold_;
  }
  out[35] = '-';
  write_hex(out + 36, random() | 1);
  std::memcpy(out + 52, sampled ? "-01" : "-00", 3);
  return context;
}

std::string binary_trace(const TraceContext& context) {
  if (context.size == 0) return {};
  // Version; then the number of each field and its bytes: trace id, span id, flags.
  std::string bytes(kBinaryTrace, '\0');
  char* to = bytes.data();
  const auto take = [&](std::size_t from, std::size_t count) {
    for (const char* text = context.text.data() + from; count != 0; --count, text += 2) {
      *to++ = static_cast<char>(hex_value(text[0]) << 4 | hex_value(text[1]));
    }
  };
  to += 2;
  take(3, 16);
  *to++ = '\1';
  take(36, 8);
  *to++ = '\2';
  take(53, 1);
  return bytes;
}

std::string traceparent_of_binary(std::string_view bytes) {
  if (bytes.size() < kBinaryTrace || bytes[0] != 0 || bytes[1] != 0 || bytes[18] != 1 || bytes[27] != 2) return {};
  std::string text = "00-";
  const auto append = [&](std::size_t from, std::size_t size) {
    for (const char c : bytes.substr(from, size)) {
      const auto byte = static_cast<unsigned char>(c);
      text += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
  };
  append(2, 16);
  text += '-';
  append(19, 8);
  text += '-';
  append(28, 1);
  return is_traceparent(text) ? text : std::string();
}

/// splitmix64: ids need to be unique, not unguessable.
std::uint64_t Tracer::random() {
  state_ += 0x9E3779B97F4A7C15;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace caisson::gateway
