#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/task_scope.hpp"
#include "cli/child.hpp"
#include "cli/restart_policy.hpp"
#include "cli/status.hpp"

namespace caisson::cli {

/// Keeps a set of processes running, one for one: each is watched by a task of its own, started again
/// after its death as RestartPolicy says, and never touched because of another's end.
///
/// RUN_DIR/NAME.pid holds the pid of each while it runs. One thread.
class Supervisor {
 public:
  struct Hooks {
    /// A process that may end the runtime (`ends_the_runtime`) exited by itself: with code 0, or with
    /// another before it was ever `up`. The argument is the exit code for the whole.
    std::function<void(int)> runtime_ended;
  };

  Supervisor(EventLoop& loop, std::string run_dir, Nanos grace, Hooks hooks);

  /// Starts a process and keeps it. A live one of an earlier supervisor with the same program and
  /// arguments goes on under this one; another that holds the name is ended first.
  void add(ProcessSpec spec, bool ends_the_runtime = false);

  /// Ends one process gracefully and forgets it; also one of an earlier supervisor that was never added
  /// here. Nothing of that name may be added before it completes.
  Task<void> remove(std::string name);

  /// Ends one process gracefully and starts it again. Completes when the new one runs.
  /// kNotFound for a name that is none.
  Task<Result<void>> restart(std::string name);

  /// Ends all: the gateways first (they let what runs finish), then the capabilities together, config
  /// last. What has not ended in `grace` is killed.
  Task<void> stop();
  /// SIGKILL to everything, at once.
  void kill_all();

  [[nodiscard]] std::vector<ProcessStatus> status() const;

 private:
  struct Slot {
    Slot(ProcessSpec process, bool main, Nanos now) : spec(std::move(process)), ends_the_runtime(main), since(now) {}
    ProcessSpec spec;
    bool ends_the_runtime;
    std::unique_ptr<Child> child;
    RestartPolicy policy;
    ProcessState state = ProcessState::kStarting;
    Nanos since;
    std::uint64_t restarts = 0;
    std::string last_end;
    bool restart_asked = false;
    bool stop_asked = false;
    bool ended = false;
    WaitQueue changed;  // a restart or stop is asked for, or the process started or ended
  };

  using Slots = std::vector<std::shared_ptr<Slot>>;

  Task<void> keep_running(std::shared_ptr<Slot> slot);
  Task<Result<std::unique_ptr<Child>>> obtain(Slot& slot, bool first);
  Task<std::unique_ptr<Child>> take_over(Slot& slot);
  [[nodiscard]] std::unique_ptr<Child> survivor(const std::string& name) const;
  Task<void> end(Child& child);
  Task<void> stop_slot(std::shared_ptr<Slot> slot);
  Task<void> stop_all_of(Slots slots);
  void enter(Slot& slot, ProcessState state);
  [[nodiscard]] std::shared_ptr<Slot> find(std::string_view name) const;

  EventLoop& loop_;
  std::string run_dir_;
  Nanos grace_;
  Hooks hooks_;
  Slots slots_;
  TaskScope tasks_;
};

}  // namespace caisson::cli
