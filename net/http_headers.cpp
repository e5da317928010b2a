#include "net/http_headers.hpp"

#include <algorithm>
#include <cctype>

#include "bus/wire.hpp"

namespace caisson::net {

bool is_connection_header(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "connection", "keep-alive",        "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
      "trailer",    "transfer-encoding", "upgrade"};
  return std::ranges::any_of(kNames, [&](std::string_view other) { return equal_ignoring_case(name, other); });
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
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kMarks.find(c) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace caisson::net
