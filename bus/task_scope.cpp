#include "bus/task_scope.hpp"

#include <vector>

namespace caisson {

/// The outermost coroutine of a spawned task; destroys its own frame when it ends.
struct TaskScope::Root {
  struct promise_type {
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

TaskScope::Root TaskScope::start(TaskScope& scope, Id id, Task<void> task) {
  co_await std::move(task);
  scope.ended(id);
}

TaskScope::~TaskScope() {
  *alive_ = false;
  // A destroyed task may spawn or cancel others while its frame is torn down.
  while (!running_.empty()) {
    const auto first = running_.begin();
    const auto handle = first->second;
    running_.erase(first);
    handle.destroy();
  }
}

TaskScope::Id TaskScope::spawn(Task<void> task) {
  const Id id = next_id_++;
  const Root root = start(*this, id, std::move(task));
  running_.emplace(id, root.handle);
  root.handle.resume();
  return id;
}

void TaskScope::cancel(Id id) {
  if (!running_.contains(id)) return;
  loop_.post([this, alive = alive_, id] {
    if (!*alive) return;
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    const auto handle = found->second;
    running_.erase(found);
    handle.destroy();
    if (running_.empty()) emptied_.wake_all();
  });
}

void TaskScope::cancel_all() {
  std::vector<Id> ids;
  ids.reserve(running_.size());
  for (const auto& [id, handle] : running_) ids.push_back(id);
  for (const Id id : ids) cancel(id);
}

void TaskScope::ended(Id id) {
  running_.erase(id);
  if (running_.empty()) emptied_.wake_all();
}

Task<bool> TaskScope::join(Deadline deadline) {
  while (!running_.empty()) {
    const Wake why = co_await emptied_.wait(loop_, deadline);
    if (why == Wake::kDeadline) break;
  }
  co_return running_.empty();
}

}  // namespace caisson
