#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bus/event_loop.hpp"
#include "bus/intrusive_list.hpp"
#include "bus/result.hpp"
#include "sdk/redis/command.hpp"
#include "sdk/redis/reply.hpp"

namespace caisson::redis {

class Connection;
class RequestQueue;

/// Commands that are sent back to back, and the place for their replies. Lives in the coroutine that
/// waits for it and leaves queue and connection when that is destroyed.
class Request : public ListNode {
 public:
  /// `replies` has a place for each of `commands`; both outlive the request.
  Request(std::span<const Command> commands, std::span<Reply> replies, Nanos blocks_for = {});
  ~Request();

  [[nodiscard]] bool done() const { return failure_ || answered_ == replies_.size(); }
  /// Every command is with the server, or with the kernel.
  [[nodiscard]] bool sent() const { return connection_ != nullptr; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Until done(), or the deadline.
  WaitQueue::Waiter wait(EventLoop& loop, Deadline deadline) { return done_.wait(loop, deadline); }

  void take(Reply reply);
  void fail(Error error);

 private:
  friend class Connection;
  friend class RequestQueue;

  std::span<const Command> commands_;
  std::span<Reply> replies_;
  Nanos blocks_for_;
  std::size_t size_ = 0;
  std::size_t answered_ = 0;
  std::optional<Error> failure_;
  WaitQueue done_;
  RequestQueue* queue_ = nullptr;     // while it waits to be sent
  Connection* connection_ = nullptr;  // while it waits for replies
  std::uint64_t number_ = 0;          // among those sent on the connection
};

/// Requests that have not been sent, in order.
class RequestQueue {
 public:
  ~RequestQueue() { fail_all({Errc::kUnavailable, "the connection is being closed"}); }

  void push_back(Request& request);
  void push_front(Request& request);
  Request& pop_front();
  void remove(Request& request);
  void fail_all(const Error& error);

  [[nodiscard]] bool empty() const { return list_.empty(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void added(Request& request);

  IntrusiveList<Request> list_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace caisson::redis
