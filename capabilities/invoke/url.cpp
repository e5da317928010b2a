#include "capabilities/invoke/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bus/wire.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kHttp = "http:/";
constexpr std::string_view kHttps = "https:/";
constexpr std::size_t kLongest = 2048;

bool starts_with(std::string_view text, std::string_view scheme) {
  return text.size() > scheme.size() && equal_ignoring_case(text.substr(0, scheme.size()), scheme);
}

Error bad(std::string_view what) { return {Errc::kInvalidArgument, fmt::format("the URL {}", what)}; }

/// Letters, digits, '-', '.', '_'; inside brackets those of an IPv6 address.
bool is_host(std::string_view host, bool in_brackets) {
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  const auto in_address = [](char c) {
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' || c == '.';
  };
  return !host.empty() && (in_brackets ? std::ranges::all_of(host, in_address) : std::ranges::all_of(host, in_name));
}

/// Host and port of "host", "host:1", "[::1]:1".
Result<void> read_authority(std::string_view authority, Url& url) {
  const bool brackets = authority.starts_with('[');
  const std::size_t end = brackets ? authority.find(']') : std::min(authority.find(':'), authority.size());
  if (end == std::string_view::npos) return bad("has no ']' after its host");
  const std::string_view host = brackets ? authority.substr(1, end - 1) : authority.substr(0, end);
  if (!is_host(host, brackets)) return bad("has no valid host");
  url.host = host;
  std::string_view rest = authority.substr(brackets ? end + 1 : end);
  url.port = url.tls ? 443 : 80;
  if (rest.empty()) return ok();
  if (!rest.starts_with(':')) return bad("has no valid host");
  rest.remove_prefix(1);
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), url.port);
  if (rest.empty() || parsed.ec != std::errc() || parsed.ptr != rest.data() + rest.size() || url.port == 0) {
    return bad("has no valid port");
  }
  return ok();
}

}  // namespace

bool is_url(std::string_view id) { return starts_with(id, kHttp) || starts_with(id, kHttps); }

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kLongest) return bad(fmt::format("is longer than {} characters", kLongest));
  if (!is_url(text)) return bad("must begin with http:// or https://");
  const bool printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~' && c != '\\'; });
  if (!printable) return bad("has characters that no URL may have");
  if (text.find_first_of("?#") != std::string_view::npos) return bad("may have neither query nor fragment");
  Url url;
  url.tls = starts_with(text, kHttps);
  text.remove_prefix((url.tls ? kHttps : kHttp).size());
  if (text.starts_with('/')) text.remove_prefix(1);
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) return bad("may not carry a user or a password");
  TRY(read_authority(authority, url));
  url.authority = authority;
  std::string_view path = text.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  url.base_path = path;
  return url;
}

}  // namespace caisson::invoke
