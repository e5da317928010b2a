#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>

#include "bus/event_loop.hpp"
#include "bus/task.hpp"
#include "bus/task_scope.hpp"

namespace caisson::testing {

/// Turns the loop until `done`; a test that hangs is ended after `patience` of real time.
inline void run_until(EventLoop& loop, const std::function<bool()>& done,
                      std::chrono::seconds patience = std::chrono::seconds(30)) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  bool worked = true;
  while (!done()) {
    // Waits only when nothing happens: what makes the condition true may be the last that happens.
    worked = loop.turn(worked ? Nanos::zero() : Nanos(std::chrono::milliseconds(20)));
    if (std::chrono::steady_clock::now() > give_up) {
      std::fprintf(stderr, "run_until: the condition did not come true in time\n");
      std::abort();
    }
  }
}

/// Runs a task to its end on the loop and gives its value.
template <class T>
T run(EventLoop& loop, Task<T> task) {
  std::optional<T> value;
  TaskScope scope(loop);
  struct Keep {
    static Task<void> result(Task<T> task, std::optional<T>& value) { value.emplace(co_await std::move(task)); }
  };
  scope.spawn(Keep::result(std::move(task), value));
  run_until(loop, [&] { return value.has_value(); });
  return *std::move(value);
}

inline void run(EventLoop& loop, Task<void> task) {
  TaskScope scope(loop);
  scope.spawn(std::move(task));
  run_until(loop, [&] { return scope.empty(); });
}

}  // namespace caisson::testing
