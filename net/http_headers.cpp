#include "net/http_headers.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "bus/wire.hpp"

namespace caisson::net {

namespace {

/// What a token may be made of (RFC 9110 section 5.6.2).
constexpr auto kTokenChars = [] {
  std::array<bool, 256> allowed{};
  for (char c = '0'; c <= '9'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) allowed[static_cast<unsigned char>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) allowed[static_cast<unsigned char>(c)] = true;
  return allowed;
}();

}  // namespace

/// Asked of every header in both directions: the length alone tells most apart.
bool is_connection_header(std::string_view name) {
  const auto is = [name](std::string_view other) { return equal_ignoring_case(name, other); };
  switch (name.size()) {
    case 2:
      return is("te");
    case 7:
      return is("trailer") || is("upgrade");
    case 10:
      return is("connection") || is("keep-alive");
    case 16:
      return is("proxy-connection");
    case 17:
      return is("transfer-encoding");
    case 18:
      return is("proxy-authenticate");
    case 19:
      return is("proxy-authorization");
    default:
      return false;
  }
}

bool has_token(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view token = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (equal_ignoring_case(token, name)) return true;
  }
  return false;
}

void drop_connection_headers(std::vector<std::pair<std::string, std::string>>& headers) {
  std::vector<std::string> lists;
  for (const auto& [name, value] : headers) {
    if (equal_ignoring_case(name, "connection")) lists.push_back(value);
  }
  std::erase_if(headers, [&](const auto& header) {
    if (is_connection_header(header.first)) return true;
    return std::ranges::any_of(lists, [&](const std::string& list) { return has_token(list, header.first); });
  });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return kTokenChars[static_cast<unsigned char>(c)]; });
}

bool is_header_value(std::string_view text) {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  constexpr std::uint64_t kEach = 0x0101010101010101;
  // Eight at a time: a byte below 14 might be one of them, and hardly ever is there.
  while (text.size() >= kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), kWord);
    if (((word - kEach * 14) & ~word & (kEach * 128)) != 0) break;
    text.remove_prefix(kWord);
  }
  return std::ranges::none_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

}  // namespace caisson::net
