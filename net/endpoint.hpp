#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::net {

/// Where a server listens.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
  /// "127.0.0.1:8080", as it stands in a Host header.
  std::string text;

  bool operator==(const Endpoint& other) const;
};

/// An address in numbers (IPv4, IPv6 with or without brackets) or `localhost`, which is 127.0.0.1
/// here. Other names are kInvalidArgument: they are looked up first.
Result<Endpoint> make_endpoint(std::string_view host, std::uint16_t port);

/// Every address that a host has now, at least one; their text is the host and port as given. Numbers
/// at once, names off the loop (bus/host_lookup.hpp, whose errors these are).
Task<Result<std::vector<Endpoint>>> find_endpoints(EventLoop& loop, std::string host, std::uint16_t port,
                                                   Deadline deadline);

}  // namespace caisson::net
