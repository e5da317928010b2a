#include "bus/task_scope.hpp"

namespace caisson {

/// The promise of the outermost coroutine of a spawned task. Leaves its scope's books when the task ends, and its
/// frame destroys itself.
struct TaskScope::Root : IdNode, ListNode, Recycled {
  struct Begun {
    using promise_type = Root;
    Root* root;
  };

  Root(TaskScope& owner, Task<void>&) : IdNode(owner.next_id_++), scope(owner) {}

  Begun get_return_object() { return {this}; }
  std::suspend_always initial_suspend() noexcept { return {}; }
  std::suspend_never final_suspend() noexcept {
    scope.take_out(*this);
    return {};
  }
  void return_void() {}
  void unhandled_exception() noexcept { std::terminate(); }

  [[nodiscard]] std::coroutine_handle<Root> handle() { return std::coroutine_handle<Root>::from_promise(*this); }

  static Begun begin(TaskScope&, Task<void> task) { co_await std::move(task); }

  TaskScope& scope;
};

TaskScope::TaskScope(EventLoop& loop) : loop_(loop) {}

TaskScope::~TaskScope() {
  *alive_ = false;
  // A destroyed task may spawn or cancel others while its frame is torn down.
  while (!oldest_first_.empty()) destroy(oldest_first_.front());
}

TaskScope::Id TaskScope::spawn(Task<void> task) {
  Root& root = *Root::begin(*this, std::move(task)).root;
  const Id id = root.id();
  running_.insert(root);
  oldest_first_.push_back(root);
  root.handle().resume();
  return id;
}

void TaskScope::cancel(Id id) {
  if (running_.find(id) == nullptr) return;
  loop_.post([this, alive = alive_, id] {
    if (!*alive) return;
    if (Root* const root = running_.find(id)) destroy(*root);
  });
}

void TaskScope::cancel_all() {
  for (const Root& root : oldest_first_) cancel(root.id());
}

void TaskScope::take_out(Root& root) {
  running_.erase(root);
  root.unlink();
  if (running_.empty()) emptied_.wake_all();
}

void TaskScope::destroy(Root& root) {
  take_out(root);
  root.handle().destroy();
}

Task<bool> TaskScope::join(Deadline deadline) {
  while (!running_.empty()) {
    const Wake why = co_await emptied_.wait(loop_, deadline);
    if (why == Wake::kDeadline) break;
  }
  co_return running_.empty();
}

}  // namespace caisson
