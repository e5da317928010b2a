#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "bus/clock.hpp"
#include "bus/deadline.hpp"
#include "bus/intrusive_list.hpp"
#include "bus/result.hpp"

namespace caisson {

class EventLoop;

/// Something that is due once, at a moment. Belongs to one loop, which it leaves when destroyed.
class Alarm {
 public:
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  virtual ~Alarm() { cancel(); }

  /// Sets or moves the moment; a deadline of never cancels.
  void start(Deadline deadline);
  void cancel() {
    if (started()) leave();
  }
  [[nodiscard]] bool started() const { return index_ != kIdle; }

 protected:
  explicit Alarm(EventLoop& loop) : loop_(loop) {}
  /// The moment has come; may destroy this.
  virtual void expired() = 0;
  [[nodiscard]] EventLoop& loop() const { return loop_; }

 private:
  friend class EventLoop;
  static constexpr std::size_t kIdle = ~std::size_t{0};
  void leave();

  EventLoop& loop_;
  std::size_t index_ = kIdle;
};

/// Calls a function at a moment.
class Timer final : public Alarm {
 public:
  Timer(EventLoop& loop, std::function<void()> function) : Alarm(loop), function_(std::move(function)) {}
  void start_after(Nanos span);

 private:
  void expired() override { function_(); }
  std::function<void()> function_;
};

/// Watches a file descriptor, which it does not own, edge-triggered; stops when destroyed. The
/// callback gets epoll's event bits. It may destroy any watch, its own included.
class FdWatch {
 public:
  using Callback = std::function<void(std::uint32_t events)>;
  FdWatch(EventLoop& loop, Callback callback) : loop_(loop), callback_(std::move(callback)) {}
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch() { stop(); }

  /// `events`: EPOLLIN, EPOLLOUT, …; EPOLLET is added. Fails with kResourceExhausted or kInternal.
  Result<void> start(int fd, std::uint32_t events);
  void stop();

 private:
  friend class EventLoop;
  EventLoop& loop_;
  Callback callback_;
  int fd_ = -1;
};

enum class Wake : std::uint8_t { kNotified, kDeadline };

/// Coroutines waiting for something to happen, woken in order. Woken ones run later in the same
/// turn of the loop or in the next, never inside wake_*(). Destroying the queue leaves its waiters
/// to their deadlines.
class WaitQueue {
 public:
  /// `co_await queue.wait(loop, deadline)` gives why it woke. Waiting on a deadline that has
  /// passed still lets the loop turn once.
  class [[nodiscard]] Waiter;
  Waiter wait(EventLoop& loop, Deadline deadline);

  void wake_one();
  void wake_all();
  [[nodiscard]] bool empty() const { return waiters_.empty(); }

 private:
  IntrusiveList<Waiter> waiters_;
};

/// Where work appears without a descriptor telling: memory that another process writes. The loop
/// looks there once a turn, and says when it is about to sleep, so that the other process need ring
/// only then. Leaves its loop when destroyed; may be destroyed by what it calls.
class PolledSource : public ListNode {
 public:
  /// Handles what is there, at most a batch; false when there was nothing.
  virtual bool poll() = 0;
  /// Asks to be woken through a descriptor from now on, then looks once more: true when there is
  /// work after all and the loop must not sleep. May be called again without a wake between.
  virtual bool about_to_sleep() = 0;
  /// The loop is awake: no need to ring any more.
  virtual void awake() = 0;

 protected:
  ~PolledSource() = default;
};

/// One thread's loop: descriptors, timers, woken coroutines, in turns. Everything except
/// post_from_any_thread(), stop() and busy_since() is for the loop's own thread.
class EventLoop {
 public:
  explicit EventLoop(const Clock& clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Turns until stop().
  void run();
  void stop();
  /// One turn: polled sources, posted functions and woken coroutines, turn-end hooks, then descriptors
  /// and timers, waiting for those at most `max_wait`. Returns false when nothing happened.
  bool turn(Nanos max_wait);

  /// Time at the beginning of this turn's events; cheap.
  [[nodiscard]] Nanos now() const { return now_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] Deadline deadline_in(Nanos span) const { return Deadline::after(clock_, span); }

  /// Runs `function` in the next turn.
  void post(std::function<void()> function);
  void post_from_any_thread(std::function<void()> function);

  /// A hook that runs at the end of every turn, before the loop sleeps: where batches are flushed.
  /// Returns an id for remove_turn_end().
  std::uint64_t at_turn_end(std::function<void()> hook);
  void remove_turn_end(std::uint64_t id);

  /// Looks at `source` in every turn from now on, until it is destroyed.
  void add(PolledSource& source) { sources_.push_back(source); }

  /// Suspends the coroutine until the moment.
  WaitQueue::Waiter sleep_until(Deadline deadline);

  /// For the watchdog: when the present turn began to work, or zero while the loop sleeps.
  [[nodiscard]] Nanos busy_since() const { return Nanos(busy_since_.load(std::memory_order_relaxed)); }

 private:
  friend class Alarm;
  friend class FdWatch;
  friend class WaitQueue;
  struct Hook {
    std::uint64_t id;
    std::function<void()> call;
  };

  void make_ready(WaitQueue::Waiter& waiter);
  bool run_ready();
  bool run_posted();
  bool poll_sources();
  void run_hooks();
  /// True when the loop may sleep: every source has said what wakes it, and none has work.
  bool settle_sources();
  void wake_sources();
  bool poll_descriptors(Nanos max_wait);
  bool run_timers();
  [[nodiscard]] Nanos wait_time(Nanos max_wait) const;

  /// An alarm in the heap, which knows its index there.
  struct Due {
    Nanos at;
    Alarm* alarm;
  };
  void heap_place(std::size_t index, const Due& due);
  void heap_up(std::size_t index);
  void heap_down(std::size_t index);
  void heap_remove(Alarm& alarm);

  const Clock& clock_;
  Nanos now_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::atomic<bool> stopped_{false};
  std::atomic<std::int64_t> busy_since_{0};
  IntrusiveList<WaitQueue::Waiter> ready_;
  std::vector<Due> due_;  // binary heap, the earliest first
  std::vector<epoll_event> events_;
  int event_count_ = 0;
  IntrusiveList<PolledSource> sources_;
  bool sources_settled_ = false;
  std::vector<Hook> hooks_;
  std::uint64_t next_hook_id_ = 1;
  std::vector<std::function<void()>> posted_;
  std::vector<std::function<void()>> spare_;  // empty, kept for its memory
  std::mutex foreign_mutex_;
  std::vector<std::function<void()>> foreign_posted_;
};

class WaitQueue::Waiter final : public ListNode, private Alarm {
 public:
  Waiter(EventLoop& loop, IntrusiveList<Waiter>* queue, Deadline deadline)
      : Alarm(loop), queue_(queue), deadline_(deadline) {}

  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    if (queue_ != nullptr) queue_->push_back(*this);
    start(deadline_);
  }
  Wake await_resume() noexcept { return reason_; }

 private:
  friend class EventLoop;
  friend class WaitQueue;
  void expired() override {
    reason_ = Wake::kDeadline;
    loop().make_ready(*this);
  }

  IntrusiveList<Waiter>* queue_;
  Deadline deadline_;
  std::coroutine_handle<> handle_;
  Wake reason_ = Wake::kNotified;
};

inline WaitQueue::Waiter WaitQueue::wait(EventLoop& loop, Deadline deadline) {
  return Waiter(loop, &waiters_, deadline);
}
inline WaitQueue::Waiter EventLoop::sleep_until(Deadline deadline) {
  return WaitQueue::Waiter(*this, nullptr, deadline);
}

}  // namespace caisson
