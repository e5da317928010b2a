#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "sdk/redis/resolver.hpp"
#include "sdk/redis/tls.hpp"

namespace caisson::redis {

/// A connected socket, in the clear or with TLS. Non-blocking. One thread; closed when destroyed.
class Stream {
 public:
  /// kUnavailable says why there is none. `tls`: null for a connection in the clear.
  static Task<Result<std::unique_ptr<Stream>>> connect(EventLoop& loop, Endpoint endpoint,
                                                       std::unique_ptr<TlsSession> tls, Deadline deadline);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  /// With TLS a short read does not mean that no more is here.
  [[nodiscard]] bool encrypted() const { return tls_ != nullptr; }
  /// Called for every edge of the descriptor, with epoll's bits; may not destroy this stream.
  void on_event(std::function<void(std::uint32_t events)> call) { call_ = std::move(call); }

  /// The number of bytes taken; zero: no room now, an event follows. kUnavailable: broken.
  Result<std::size_t> write(std::string_view bytes);
  /// The number of bytes; nothing when no more are here now. kUnavailable: closed or broken.
  Result<std::optional<std::size_t>> read(std::span<char> to);

 private:
  Stream(EventLoop& loop, int fd, std::unique_ptr<TlsSession> tls);
  Task<Result<void>> finish_connect(Endpoint endpoint, Deadline deadline);
  Task<Result<void>> shake_hands(Deadline deadline);
  Result<std::size_t> send(std::string_view bytes);
  Result<std::optional<std::size_t>> receive(std::span<char> to);
  Result<void> flush_tls();

  EventLoop& loop_;
  int fd_;
  std::unique_ptr<TlsSession> tls_;
  std::string tls_output_;
  WaitQueue changed_;  // only while connecting
  std::function<void(std::uint32_t)> call_;
  FdWatch watch_;
};

}  // namespace caisson::redis
