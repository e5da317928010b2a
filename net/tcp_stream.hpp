#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "net/endpoint.hpp"
#include "net/tls_session.hpp"

namespace caisson::net {

/// A connected TCP socket that this side opened, in the clear or with TLS, non-blocking. Either the
/// calls that return at once are used, with on_event(), or those that wait: one reading and one
/// writing coroutine at a time. One thread; closed when destroyed.
class TcpStream {
 public:
  /// kUnavailable: refused, not reachable, or the TLS handshake failed. kDeadlineExceeded: nobody
  /// answered. `tls`: null for a connection in the clear.
  static Task<Result<std::unique_ptr<TcpStream>>> connect(EventLoop& loop, Endpoint endpoint,
                                                          std::unique_ptr<TlsSession> tls, Deadline deadline);
  /// Takes over a connected, non-blocking descriptor, in the clear.
  static Result<std::unique_ptr<TcpStream>> adopt(EventLoop& loop, int fd);
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;
  ~TcpStream();

  using Parts = std::array<std::string_view, 3>;
  /// Writes what is taken at once; the number of bytes, zero when there is no room now. With TLS what
  /// is taken may still be on its way to the kernel, and goes on at the next event.
  /// kUnavailable: the peer is gone.
  Result<std::size_t> write_some(const Parts& parts);
  /// Takes the first `written` bytes off; true when nothing is left.
  static bool advance(Parts& parts, std::size_t written);
  /// Reads what is there; nothing when that is nothing now, zero at the end. With TLS a short read
  /// does not mean that no more is here. kUnavailable: the connection broke.
  Result<std::optional<std::size_t>> read_some(std::span<char> into);

  /// Writes everything, waiting for room.
  Task<Result<void>> write_all(Parts parts, Deadline deadline);
  /// Waits for bytes; 0 at the end.
  Task<Result<std::size_t>> read(std::span<char> into, Deadline deadline);

  [[nodiscard]] bool encrypted() const { return tls_ != nullptr; }
  /// What ALPN agreed on; empty in the clear.
  [[nodiscard]] std::string protocol() const { return tls_ == nullptr ? std::string() : tls_->protocol(); }
  /// False when something arrived, or the peer closed: no connection to begin a request on.
  [[nodiscard]] bool quiet();
  /// The same as far as the loop has been told of it; asks nobody. In the clear only.
  [[nodiscard]] bool seems_quiet() const { return !may_read_; }
  /// Called with epoll's bits after every event of the descriptor; null for no more. Must not destroy
  /// this stream.
  void on_event(std::function<void(std::uint32_t events)> call) { call_ = std::move(call); }
  /// Lets the kernel find a peer that is gone without a word, for connections that wait without
  /// traffic: 30 s of silence, then 3 probes 10 s apart.
  void keep_alive();
  /// Ends both directions; whoever reads sees the end.
  void shut_down();

 private:
  TcpStream(EventLoop& loop, int fd, std::unique_ptr<TlsSession> tls);
  void event(std::uint32_t events);
  Task<Result<void>> finish_connect(Endpoint endpoint, Deadline deadline);
  Task<Result<void>> shake_hands(Deadline deadline);
  Result<std::size_t> send(const Parts& parts);
  Result<std::optional<std::size_t>> receive(std::span<char> into);
  Result<void> flush_tls();

  EventLoop& loop_;
  int fd_;
  std::unique_ptr<TlsSession> tls_;
  std::string tls_output_;
  bool may_read_ = true;  // not all has been read, or nobody has looked
  bool hung_up_ = false;
  WaitQueue readable_;
  WaitQueue writable_;
  std::function<void(std::uint32_t)> call_;
  FdWatch watch_;
};

}  // namespace caisson::net
