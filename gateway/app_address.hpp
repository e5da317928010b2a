#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "net/tcp_stream.hpp"

namespace caisson::gateway {

/// Where an app listens: an address in numbers, or a host's name, which may mean another address
/// tomorrow (a container that was replaced). One thread; one coroutine at a time.
class AppAddress {
 public:
  /// As look_up_host() of bus/host_lookup.hpp.
  using LookUp = std::function<Task<Result<std::vector<std::string>>>(EventLoop&, std::string host, Deadline)>;

  /// kInvalidArgument: `host` is neither an address nor a name.
  static Result<AppAddress> make(EventLoop& loop, std::string host, std::uint16_t port, LookUp look_up);

  /// What it means now; a name is looked up at most every half second. kUnavailable,
  /// kDeadlineExceeded: the name is not known, or nobody tells.
  Task<Result<std::vector<net::Endpoint>>> endpoints();
  /// "app:8080": as it was given.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  AppAddress(EventLoop& loop, LookUp look_up) : loop_(loop), look_up_(std::move(look_up)) {}

  EventLoop& loop_;
  LookUp look_up_;
  std::string name_;  // empty: in numbers
  std::uint16_t port_ = 0;
  std::string text_;
  Result<std::vector<net::Endpoint>> known_ = std::vector<net::Endpoint>();
  Nanos look_again_{};
};

}  // namespace caisson::gateway
