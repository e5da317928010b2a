#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "bus/event_loop.hpp"
#include "bus/id_table.hpp"
#include "bus/intrusive_list.hpp"
#include "bus/task.hpp"

namespace caisson {

/// Owns the tasks that run beside the code that started them, so that none outlives what it uses:
/// a member declared after everything its tasks touch. Destroying the scope destroys its tasks,
/// which cancels them; it must not happen inside one of them.
class TaskScope {
 public:
  using Id = std::uint64_t;

  explicit TaskScope(EventLoop& loop);
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
  /// The outermost coroutine of a spawned task.
  struct Root;
  void take_out(Root& root);
  void destroy(Root& root);

  EventLoop& loop_;
  Id next_id_ = 1;
  IdTable<Root> running_;
  IntrusiveList<Root> oldest_first_;
  WaitQueue emptied_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace caisson
