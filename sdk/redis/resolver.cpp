#include "sdk/redis/resolver.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace caisson::redis {

namespace {

constexpr std::size_t kMostAddresses = 16;

Result<std::vector<Endpoint>> look_up(const Address& address, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) {
    return Error{Errc::kUnavailable, fmt::format("host '{}': {}", address.host, ::gai_strerror(failed))};
  }
  std::vector<Endpoint> endpoints;
  for (const addrinfo* one = found; one != nullptr && endpoints.size() < kMostAddresses; one = one->ai_next) {
    if (one->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Endpoint endpoint;
    std::memcpy(&endpoint.address, one->ai_addr, one->ai_addrlen);
    endpoint.size = one->ai_addrlen;
    endpoint.text = fmt::format("{}:{}", address.host, address.port);
    endpoints.push_back(std::move(endpoint));
  }
  ::freeaddrinfo(found);
  if (endpoints.empty()) return Error{Errc::kUnavailable, fmt::format("host '{}' has no address", address.host)};
  return endpoints;
}

}  // namespace

/// Shared with the thread, which may outlive the Resolver and its loop.
struct Resolver::Lookup {
  std::mutex mutex;
  EventLoop* loop = nullptr;  // null: nobody waits any more
  bool running = false;       // this and what follows: on the loop's thread only
  std::optional<Result<std::vector<Endpoint>>> result;
  WaitQueue ended;
};

Resolver::Resolver(EventLoop& loop) : loop_(loop), lookup_(std::make_shared<Lookup>()) { lookup_->loop = &loop; }

Resolver::~Resolver() {
  const std::lock_guard lock(lookup_->mutex);
  lookup_->loop = nullptr;
}

Task<Result<std::vector<Endpoint>>> Resolver::resolve(Address address, Deadline deadline) {
  auto numeric = look_up(address, AI_NUMERICHOST);
  if (numeric) co_return numeric;

  const std::shared_ptr<Lookup> lookup = lookup_;
  if (lookup->running) {
    co_return Error{Errc::kUnavailable, fmt::format("host '{}': the name server does not answer", address.host)};
  }
  lookup->running = true;
  lookup->result.reset();
  auto work = [lookup, address] {
    auto found = std::make_shared<Result<std::vector<Endpoint>>>(look_up(address, 0));
    const std::lock_guard lock(lookup->mutex);
    if (lookup->loop == nullptr) return;
    lookup->loop->post_from_any_thread([lookup, found] {
      lookup->running = false;
      lookup->result.emplace(std::move(*found));
      lookup->ended.wake_all();
    });
  };
  try {
    std::thread(std::move(work)).detach();  // holds nothing but `lookup`
  } catch (const std::system_error& error) {
    lookup->running = false;
    co_return Error{Errc::kResourceExhausted, fmt::format("no thread to look up a name: {}", error.what())};
  }
  const Wake wake = co_await lookup->ended.wait(loop_, deadline);
  if (wake == Wake::kDeadline || !lookup->result) {
    co_return Error{Errc::kUnavailable, fmt::format("host '{}': the name server does not answer", address.host)};
  }
  co_return *std::move(lookup->result);
}

}  // namespace caisson::redis
