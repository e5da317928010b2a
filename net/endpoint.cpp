#include "net/endpoint.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <cstring>
#include <memory>

#include "bus/host_lookup.hpp"

namespace caisson::net {

namespace {

std::string without_brackets(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

}  // namespace

bool Endpoint::operator==(const Endpoint& other) const {
  return size == other.size && std::memcmp(&address, &other.address, size) == 0;
}

Result<Endpoint> make_endpoint(std::string_view host, std::uint16_t port) {
  const std::string name = without_brackets(host == "localhost" ? std::string_view("127.0.0.1") : host);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(name.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) {
    return Error{Errc::kInvalidArgument, fmt::format("address '{}' is neither an IP address nor localhost", host)};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  Endpoint endpoint;
  std::memcpy(&endpoint.address, list->ai_addr, list->ai_addrlen);
  endpoint.size = list->ai_addrlen;
  endpoint.text = list->ai_family == AF_INET6 ? fmt::format("[{}]:{}", name, port) : fmt::format("{}:{}", host, port);
  return endpoint;
}

Task<Result<std::vector<Endpoint>>> find_endpoints(EventLoop& loop, std::string host, std::uint16_t port,
                                                   Deadline deadline) {
  std::vector<Endpoint> endpoints;
  if (!is_host_name(host)) {
    CO_ASSIGN(Endpoint only, make_endpoint(host, port));
    endpoints.push_back(std::move(only));
    co_return endpoints;
  }
  auto looking = look_up_host(loop, host, deadline);
  CO_ASSIGN(const std::vector<std::string> addresses, co_await std::move(looking));
  for (const std::string& address : addresses) {
    auto endpoint = make_endpoint(address, port);
    if (!endpoint) continue;
    endpoint->text = fmt::format("{}:{}", host, port);
    endpoints.push_back(*std::move(endpoint));
  }
  if (endpoints.empty()) co_return Error{Errc::kUnavailable, fmt::format("host '{}' has no address", host)};
  co_return endpoints;
}

}  // namespace caisson::net
