#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "sdk/redis/settings.hpp"

namespace caisson::redis {

/// A socket address with its text, "127.0.0.1:6379".
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string text;
};

/// Finds the addresses of a host. Numbers at once; names on a thread that lives for one look-up, at
/// most one at a time: getaddrinfo(3) blocks and cannot be interrupted.
class Resolver {
 public:
  explicit Resolver(EventLoop& loop);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  /// Does not wait for a look-up that is under way; its result is dropped.
  ~Resolver();

  /// At least one. kUnavailable: not found, or the thread is still busy with the name before.
  Task<Result<std::vector<Endpoint>>> resolve(Address address, Deadline deadline);

 private:
  struct Lookup;
  EventLoop& loop_;
  std::shared_ptr<Lookup> lookup_;
};

}  // namespace caisson::redis
