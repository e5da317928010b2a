#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::sdk {

/// A thread of its own for a library that blocks (SQLite, librdkafka), with a bounded queue. Jobs
/// run in order. Belongs to one event loop, on which results arrive.
class BlockingThread {
 public:
  using Job = std::function<void()>;

  BlockingThread(EventLoop& loop, std::size_t capacity);
  /// Finishes the jobs that were taken, drops the rest, joins.
  ~BlockingThread();

  /// Queues a job; kResourceExhausted when the queue is full.
  Result<void> submit(Job job);

  /// Runs `function` (returning Result<T>) on the thread and gives its result. When the deadline
  /// passes first: kDeadlineExceeded, and the function may still run.
  template <class Function>
  Task<std::invoke_result_t<Function>> run(Function function, Deadline deadline);

  EventLoop& loop() { return loop_; }

 private:
  void work();

  EventLoop& loop_;
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

template <class Function>
Task<std::invoke_result_t<Function>> BlockingThread::run(Function function, Deadline deadline) {
  using R = std::invoke_result_t<Function>;
  struct State {
    std::optional<R> result;
    WaitQueue done;
  };
  const auto state = std::make_shared<State>();
  EventLoop& loop = loop_;
  Job job = [state, &loop, function = std::move(function)]() mutable {
    auto result = std::make_shared<R>(function());
    loop.post_from_any_thread([state, result] {
      state->result.emplace(std::move(*result));
      state->done.wake_all();
    });
  };
  Result<void> queued = submit(std::move(job));
  if (!queued) co_return queued.error();
  while (!state->result) {
    const Wake wake = co_await state->done.wait(loop, deadline);
    if (wake == Wake::kDeadline && !state->result) {
      co_return Error{Errc::kDeadlineExceeded, "the operation did not end in time"};
    }
  }
  co_return std::move(*state->result);
}

}  // namespace caisson::sdk
