#include "capabilities/invoke/invocation.hpp"

#include <algorithm>
#include <vector>

#include "sdk/base64.hpp"
#include "sdk/request.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kAppIdHeader = "dapr-app-id";
constexpr std::string_view kPathPrefix = "/v1.0/invoke/";
constexpr std::string_view kMethodPart = "/method/";

/// What may stand in a path as it is (RFC 3986: pchar and '/').
bool is_plain_in_path(unsigned char c) {
  if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
  return c != '\0' && std::string_view("-._~!$&'()*+,;=:@/").find(static_cast<char>(c)) != std::string_view::npos;
}

std::string percent_encode(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(path.size());
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain_in_path(byte)) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view segment = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
  }
  std::string out;
  for (const std::string_view segment : kept) {
    out += '/';
    out += segment;
  }
  if (out.empty() || path.ends_with('/')) out += '/';
  return out;
}

}  // namespace

bool is_verb(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(kMethods, method) != std::end(kMethods);
}

Result<Invocation> clean_path(std::string_view path) {
  const auto decoded = sdk::percent_decode(path, /*plus_is_space=*/false);
  if (!decoded) return Error{Errc::kInvalidArgument, "the path has a broken escape"};
  const bool bad = std::ranges::any_of(
      *decoded, [](char c) { return c == '#' || c == '?' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (bad) return Error{Errc::kInvalidArgument, "the path has a character that no path may have"};
  const std::string clean = without_dots(*decoded);
  Invocation invocation;
  invocation.path = percent_encode(clean);
  invocation.method = clean.substr(1);
  return invocation;
}

std::optional<std::string> app_of_authorization(std::string_view value) {
  constexpr std::string_view kScheme = "Basic ";
  if (!equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  const auto credentials = sdk::base64_decode(value);
  if (!credentials) return std::nullopt;
  const std::size_t colon = credentials->find(':');
  if (colon == std::string::npos || !equal_ignoring_case(credentials->substr(0, colon), kAppIdHeader)) {
    return std::nullopt;
  }
  std::string app = credentials->substr(colon + 1);
  if (app.empty()) return std::nullopt;
  return app;
}

Result<std::optional<Invocation>> find_invocation(std::string_view path, Fields headers) {
  std::string app(headers.get(kAppIdHeader));
  if (app.empty()) app = app_of_authorization(headers.get("authorization")).value_or("");
  std::string_view method = path;
  if (app.empty() && path.starts_with(kPathPrefix)) {
    const std::string_view target = path.substr(kPathPrefix.size());
    const std::size_t end = target.find(kMethodPart);
    if (end == std::string_view::npos || end == 0) return std::optional<Invocation>();
    const std::string_view id = target.substr(0, end);
    app = sdk::percent_decode(id, /*plus_is_space=*/true).value_or(std::string(id));
    method = target.substr(end + kMethodPart.size());
  }
  if (app.empty()) return std::optional<Invocation>();
  ASSIGN(Invocation invocation, clean_path(method));
  invocation.app = std::move(app);
  return std::optional<Invocation>(std::move(invocation));
}

}  // namespace caisson::invoke
