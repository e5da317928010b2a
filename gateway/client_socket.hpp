#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::gateway {

/// A client's connected stream socket, non-blocking, owned. One thread.
class ClientSocket {
 public:
  ClientSocket(EventLoop& loop, int fd);
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;
  ~ClientSocket();

  Result<void> start();
  /// `call`: the client closed its side or is gone; may come with bytes still to read. It may not
  /// destroy the socket.
  void when_hung_up(std::function<void()> call) { on_hung_up_ = std::move(call); }

  /// Reads what is there into `to`: nothing where nothing is, 0 at the end.
  Result<std::optional<std::size_t>> read_now(std::span<char> to);
  /// `co_await socket.readable(deadline)`: until read_now() is worth another try.
  WaitQueue::Waiter readable(Deadline deadline) { return can_read_.wait(loop_, deadline); }
  /// What it is when readable() ended with the deadline.
  static Error silent();
  /// Writes what goes without waiting; gives back those of `pieces` (which it changes) that are left.
  Result<std::span<iovec>> write_now(std::span<iovec> pieces);

  /// read_now(), waiting until the deadline for the first byte; 0 at the end.
  /// kDeadlineExceeded, or kUnavailable when the connection broke.
  Task<Result<std::size_t>> read(std::span<char> to, Deadline deadline);
  /// Writes all of `pieces` (which it changes). Gives up with kDeadlineExceeded when the client
  /// takes nothing for `patience`.
  Task<Result<void>> write(std::span<iovec> pieces, Nanos patience);

  /// The client has closed its side or is gone, and nothing is left to read.
  [[nodiscard]] bool at_end() const;
  /// Both directions are gone.
  [[nodiscard]] bool broken() const { return broken_; }
  /// Nothing more is written; the client sees the end.
  void shut_down_writing();

 private:
  EventLoop& loop_;
  int fd_;
  bool readable_ = false;
  bool hung_up_ = false;
  bool broken_ = false;
  WaitQueue can_read_;
  WaitQueue can_write_;
  std::function<void()> on_hung_up_;
  FdWatch watch_;
};

}  // namespace caisson::gateway
