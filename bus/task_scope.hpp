#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "bus/event_loop.hpp"
#include "bus/task.hpp"

namespace caisson {

/// Owns the tasks that run beside the code that started them, so that none outlives what it uses:
/// a member declared after everything its tasks touch. Destroying the scope destroys its tasks,
/// which cancels them; it must not happen inside one of them.
class TaskScope {
 public:
  using Id = std::uint64_t;

  explicit TaskScope(EventLoop& loop) : loop_(loop) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  /// Runs `task` until its first suspension and keeps it. Returns its id, of use until it ends.
  Id spawn(Task<void> task);
  /// Destroys the task in the next turn of the loop, unless it has ended by then. May be called
  /// from inside the task.
  void cancel(Id id);
  void cancel_all();

  [[nodiscard]] std::size_t size() const { return running_.size(); }
  [[nodiscard]] bool empty() const { return running_.empty(); }
  /// Waits until no task is left; false when the deadline came first.
  Task<bool> join(Deadline deadline);

 private:
  struct Root;
  static Root start(TaskScope& scope, Id id, Task<void> task);
  void ended(Id id);

  EventLoop& loop_;
  Id next_id_ = 1;
  std::unordered_map<Id, std::coroutine_handle<>> running_;
  WaitQueue emptied_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace caisson
