#include "gateway/api_access.hpp"

#include "net/http_headers.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kTokenHeader = "dapr-api-token";

/// Takes as long for a token that is nearly right as for one that is not.
bool same_token(std::string_view given, std::string_view expected) {
  unsigned difference = given.size() == expected.size() ? 0 : 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const char c = i < given.size() ? given[i] : '\0';
    difference |= static_cast<unsigned char>(c) ^ static_cast<unsigned char>(expected[i]);
  }
  return difference == 0;
}

/// Headers that end here: they concern this connection, or are carried in a field of their own.
bool ends_here(std::string_view name, bool streamed) {
  if (net::is_connection_header(name)) return true;
  const auto is = [name](std::string_view other) { return equal_ignoring_case(name, other); };
  // Of a streamed body the length is the one thing that cannot be told from the frame.
  if (!streamed && is("content-length")) return true;
  return is(kTokenHeader) || is("traceparent") || is("tracestate") || is("expect");
}

}  // namespace

bool is_authenticated(const AppConfig& app, const RequestHead& head) {
  return app.api_token.empty() || same_token(head.header(kTokenHeader), app.api_token);
}

void take_crossing_headers(const RequestHead& head, bool streamed, std::vector<Field>& headers) {
  headers.clear();
  const std::string_view connection = head.header("connection");
  for (const Field& field : head.fields) {
    if (ends_here(field.name, streamed)) continue;
    if (!connection.empty() && net::has_token(connection, field.name)) continue;
    headers.push_back(field);
  }
}

}  // namespace caisson::gateway
