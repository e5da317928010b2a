#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::gateway {

/// Where an upstream listens.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
  /// "127.0.0.1:8080", as it stands in a Host header.
  std::string text;

  bool operator==(const Endpoint& other) const;
};

/// An address in numbers (IPv4, IPv6 with or without brackets) or `localhost`. Other names are
/// kInvalidArgument: they are looked up first (bus/host_lookup.hpp).
Result<Endpoint> make_endpoint(std::string_view host, std::uint16_t port);

/// A connected TCP socket that this side opened. One reading and one writing coroutine at a time.
/// One thread; closed when destroyed.
class UpstreamSocket {
 public:
  /// kUnavailable: refused or not reachable. kDeadlineExceeded: nobody answered.
  static Task<Result<std::unique_ptr<UpstreamSocket>>> connect(EventLoop& loop, const Endpoint& endpoint,
                                                               Deadline deadline);
  /// Takes over a connected, non-blocking descriptor.
  static Result<std::unique_ptr<UpstreamSocket>> adopt(EventLoop& loop, int fd);
  UpstreamSocket(const UpstreamSocket&) = delete;
  UpstreamSocket& operator=(const UpstreamSocket&) = delete;
  ~UpstreamSocket();

  using Parts = std::array<std::string_view, 3>;
  /// Writes what the kernel takes at once; the number of bytes. kUnavailable: the peer is gone.
  Result<std::size_t> write_some(const Parts& parts);
  /// Takes the first `written` bytes off; true when nothing is left.
  static bool advance(Parts& parts, std::size_t written);
  /// Writes everything, waiting for room.
  Task<Result<void>> write_all(Parts parts, Deadline deadline);
  /// Waits for bytes; 0 at the end. kUnavailable: the connection broke.
  Task<Result<std::size_t>> read(std::span<char> into, Deadline deadline);

  /// False when something arrived, or the peer closed: no connection to begin a request on.
  [[nodiscard]] bool quiet() const;
  /// Called whenever the peer sends or closes; null for no more. Must not destroy this socket.
  void on_arrival(std::function<void()> arrived) { arrived_ = std::move(arrived); }
  /// Ends both directions; whoever reads sees the end.
  void shut_down();

 private:
  UpstreamSocket(EventLoop& loop, int fd);
  void event(std::uint32_t events);

  EventLoop& loop_;
  int fd_;
  WaitQueue readable_;
  WaitQueue writable_;
  std::function<void()> arrived_;
  FdWatch watch_;
};

}  // namespace caisson::gateway
