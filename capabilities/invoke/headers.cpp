#include "capabilities/invoke/headers.hpp"

#include <algorithm>
#include <array>

namespace caisson::invoke {

namespace {

constexpr std::array<std::string_view, 10> kHopByHop = {
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
    "te",         "trailer",    "trailers",         "transfer-encoding",  "upgrade"};
/// traceparent and tracestate travel in fields of their own.
constexpr std::array<std::string_view, 9> kNotForApps = {"host",
                                                         "expect",
                                                         "dapr-app-id",
                                                         "dapr-api-token",
                                                         "dapr-caller-app-id",
                                                         "dapr-caller-namespace",
                                                         "dapr-callee-app-id",
                                                         "traceparent",
                                                         "tracestate"};

bool is_one_of(std::string_view name, const auto& names) {
  return std::ranges::any_of(names, [&](std::string_view other) { return equal_ignoring_case(name, other); });
}

/// Whether one of the message's Connection headers names the header.
bool named_by_connection(Fields all, std::string_view name) {
  for (const Field field : all) {
    if (!equal_ignoring_case(field.name, "connection")) continue;
    std::string_view list = field.value;
    while (!list.empty()) {
      const std::size_t end = std::min(list.find(','), list.size());
      std::string_view token = list.substr(0, end);
      list.remove_prefix(std::min(end + 1, list.size()));
      while (token.starts_with(' ') || token.starts_with('\t')) token.remove_prefix(1);
      while (token.ends_with(' ') || token.ends_with('\t')) token.remove_suffix(1);
      if (equal_ignoring_case(token, name)) return true;
    }
  }
  return false;
}

bool ends_with_bin(std::string_view name) {
  return name.size() >= 4 && equal_ignoring_case(name.substr(name.size() - 4), "-bin");
}

}  // namespace

bool is_hop_by_hop(std::string_view name) { return is_one_of(name, kHopByHop); }

std::vector<Field> request_headers(Fields given, bool keep_length) {
  std::vector<Field> kept;
  const bool connection = given.has("connection");
  for (const Field field : given) {
    if (is_hop_by_hop(field.name) || is_one_of(field.name, kNotForApps) || ends_with_bin(field.name)) continue;
    if (connection && named_by_connection(given, field.name)) continue;
    if (!keep_length && equal_ignoring_case(field.name, "content-length")) continue;
    kept.push_back(field);
  }
  return kept;
}

std::vector<Field> response_headers(Fields given) {
  std::vector<Field> kept;
  const bool connection = given.has("connection");
  for (const Field field : given) {
    if (is_hop_by_hop(field.name)) continue;
    if (connection && named_by_connection(given, field.name)) continue;
    kept.push_back(field);
  }
  return kept;
}

}  // namespace caisson::invoke
