#include "sdk/request.hpp"

#include <optional>

namespace caisson::sdk {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Views into `response`.
Envelope head_of(const Response& response) {
  Envelope head;
  head.status = response.status;
  head.message = response.message;
  head.headers = response.headers;
  head.trailers = response.trailers;
  return head;
}

std::string decoded_or_raw(std::string_view text) {
  auto decoded = percent_decode(text, /*plus_is_space=*/true);
  return decoded ? *std::move(decoded) : std::string(text);
}

}  // namespace

Task<Result<void>> Request::reply(Response response) {
  auto replying = incoming_.reply(head_of(response), std::move(response.body));
  co_return co_await std::move(replying);
}

Result<void> Request::try_reply(Response& response) { return incoming_.try_reply(head_of(response), response.body); }

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> parameters;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = equals == pair.size() ? std::string_view() : pair.substr(equals + 1);
    parameters.emplace_back(decoded_or_raw(pair.substr(0, equals)), decoded_or_raw(value));
  }
  return parameters;
}

std::map<std::string, std::string> query_metadata(std::string_view query) {
  constexpr std::string_view kPrefix = "metadata.";
  std::map<std::string, std::string> metadata;
  for (auto& [name, value] : parse_query(query)) {
    if (name.starts_with(kPrefix)) metadata.try_emplace(name.substr(kPrefix.size()), std::move(value));
  }
  return metadata;
}

}  // namespace caisson::sdk
