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

/// Of IANA's permanent message headers those that Dapr marks; the callee's own must not be taken for gRPC's.
constexpr std::array<std::string_view, 23> kPermanent = {"accept",
                                                         "accept-charset",
                                                         "accept-language",
                                                         "accept-ranges",
                                                         "cache-control",
                                                         "content-length",
                                                         "content-type",
                                                         "cookie",
                                                         "date",
                                                         "expect",
                                                         "from",
                                                         "host",
                                                         "if-match",
                                                         "if-modified-since",
                                                         "if-none-match",
                                                         "if-schedule-tag-match",
                                                         "if-unmodified-since",
                                                         "max-forwards",
                                                         "origin",
                                                         "pragma",
                                                         "referer",
                                                         "via",
                                                         "warning"};
/// What gRPC says about one call; both sides of a call through here say their own.
constexpr std::array<std::string_view, 6> kOfOneCall = {"content-type", "grpc-encoding", "grpc-message",
                                                        "grpc-status",  "grpc-timeout",  "grpc-trace-bin"};

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// Lower case, digits, '_', '-' and '.', and visible ASCII (gRPC over HTTP/2, "Custom-Metadata").
bool is_metadata(std::string_view name, std::string_view value) {
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && std::ranges::all_of(name, in_name) &&
         std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
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

OwnedFields headers_of_metadata(const std::vector<Field>& metadata) {
  OwnedFields headers;
  for (const Field field : metadata) {
    const std::string name = lower(field.name);
    if (is_hop_by_hop(name) || is_one_of(name, kNotForApps) || is_one_of(name, kOfOneCall)) continue;
    if (ends_with_bin(name) || name == "content-length") continue;
    headers.emplace_back(name.starts_with("grpc-") ? "dapr-" + name : name, field.value);
  }
  return headers;
}

OwnedFields metadata_of_headers(const std::vector<Field>& headers) {
  OwnedFields metadata;
  for (const Field field : headers) {
    std::string name = lower(field.name);
    if (is_hop_by_hop(name) || ends_with_bin(name) || !is_metadata(name, field.value)) continue;
    if (is_one_of(name, kPermanent) || name.starts_with("grpc-")) name.insert(0, "dapr-");
    metadata.emplace_back(std::move(name), field.value);
  }
  return metadata;
}

std::vector<Field> proxied_metadata(Fields given) {
  std::vector<Field> kept;
  for (const Field field : given) {
    if (is_hop_by_hop(field.name) || is_one_of(field.name, kNotForApps)) continue;
    const bool own =
        equal_ignoring_case(field.name, "content-type") || equal_ignoring_case(field.name, "content-length") ||
        equal_ignoring_case(field.name, "grpc-timeout") || equal_ignoring_case(field.name, "grpc-trace-bin");
    if (!own) kept.push_back(field);
  }
  return kept;
}

std::vector<Field> answered_metadata(Fields given) {
  std::vector<Field> kept;
  for (const Field field : given) {
    if (is_hop_by_hop(field.name) || equal_ignoring_case(field.name, "content-type")) continue;
    kept.push_back(field);
  }
  return kept;
}

std::vector<Field> views_of(const OwnedFields& fields) { return {fields.begin(), fields.end()}; }

}  // namespace caisson::invoke
