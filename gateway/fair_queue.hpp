#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/intrusive_list.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::gateway {

/// Where requests wait for room at one instance of a capability: in order within an app, in turns
/// between apps, so that a busy app delays only itself. Bounded in entries and bytes per app. One
/// thread; outlives its waiters' tasks.
class FairQueue {
 public:
  struct Limits {
    std::size_t entries = 8192;
    std::size_t bytes = 64 * 1024 * 1024;
  };
  enum class End : std::uint8_t { kBack, kFront };

  FairQueue(EventLoop& loop, Limits limits);
  ~FairQueue();
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  /// Waits for a turn. On success the place that was offered is the caller's, who takes it at once.
  /// kResourceExhausted: the queue is full; kDeadlineExceeded; kUnavailable: the queue was closed.
  /// `end`: kFront for one who had a turn and could not use it.
  Task<Result<void>> wait(std::string_view app, std::size_t bytes, Deadline until, End end);

  /// Wakes up to `places` waiters, less those that were woken and have not run yet.
  void offer(std::size_t places);
  /// Sends everybody away with kUnavailable.
  void close();

  /// Nobody waits or is about to run: a newcomer may go straight ahead.
  [[nodiscard]] bool idle() const { return waiting_ == 0 && granted_ == 0; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  struct App;
  struct Entry;

  EventLoop& loop_;
  Limits limits_;
  bool closed_ = false;
  std::size_t waiting_ = 0;
  std::size_t granted_ = 0;
  std::map<std::string, App, std::less<>> apps_;
  IntrusiveList<App> turns_;  // apps with waiters, the next one first
};

}  // namespace caisson::gateway
