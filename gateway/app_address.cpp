#include "gateway/app_address.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/host_lookup.hpp"

namespace caisson::gateway {

namespace {

constexpr Nanos kLookupInterval = std::chrono::milliseconds(500);
constexpr Nanos kLookupTime = std::chrono::seconds(8);
constexpr std::size_t kLongestName = 253;

bool is_name(std::string_view host) {
  return !host.empty() && host.size() <= kLongestName && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  });
}

}  // namespace

Result<AppAddress> AppAddress::make(EventLoop& loop, std::string host, std::uint16_t port, LookUp look_up) {
  AppAddress address(loop, std::move(look_up));
  address.port_ = port;
  auto in_numbers = net::make_endpoint(host, port);
  if (in_numbers) {
    address.text_ = in_numbers->text;
    address.known_ = std::vector<net::Endpoint>{*std::move(in_numbers)};
    return address;
  }
  if (!is_name(host)) {
    return Error{Errc::kInvalidArgument, fmt::format("'{}' is neither an address nor a host's name", host)};
  }
  address.text_ = fmt::format("{}:{}", host, port);
  address.name_ = std::move(host);
  return address;
}

Task<Result<std::vector<net::Endpoint>>> AppAddress::endpoints() {
  if (name_.empty() || loop_.now() < look_again_) co_return known_;
  look_again_ = loop_.now() + kLookupInterval;
  auto lookup = look_up_(loop_, name_, loop_.deadline_in(kLookupTime));
  auto found = co_await std::move(lookup);
  if (!found) {
    known_ = std::move(found).error();
    co_return known_;
  }
  std::vector<net::Endpoint> endpoints;
  for (const std::string& host : *found) {
    auto endpoint = net::make_endpoint(host, port_);
    if (!endpoint) continue;
    endpoint->text = text_;  // the Host header says what the app was called
    endpoints.push_back(*std::move(endpoint));
  }
  known_ = std::move(endpoints);
  co_return known_;
}

}  // namespace caisson::gateway
