#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/lock/sqlite_lock_table.hpp"
#include "capabilities/lock/store.hpp"
#include "sdk/blocking_thread.hpp"

namespace caisson::lock {

/// `lock.sqlite`: the embedded locks, for the apps of this runtime. Operations wait while a transaction is
/// being committed on a thread of its own; all that wait then go into the next one, and each is answered
/// once that COMMIT has returned. The file is exclusive to this process.
///
/// The destructor waits for the transaction that is being committed.
class SqliteStore final : public Store {
 public:
  /// Opens the database on the thread; kAlreadyExists while another process holds the file. `changed`:
  /// down_reason() has changed.
  static Task<Result<std::unique_ptr<Store>>> open(EventLoop& loop, std::string path, WallClock now,
                                                   std::function<void()> changed, Deadline deadline);

  Task<Result<Outcome>> execute(Operation operation, Deadline deadline) override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return down_reason_; }
  [[nodiscard]] std::string note() const override { return note_; }

 private:
  /// One operation from execute() to its answer. Owned by who waits: one that is gone is not executed.
  struct Waiting {
    Operation operation;
    std::optional<Result<Outcome>> answer;
    WaitQueue done;
  };
  using Group = std::vector<std::weak_ptr<Waiting>>;

  SqliteStore(EventLoop& loop, std::string path, std::function<void()> changed,
              std::unique_ptr<sdk::BlockingThread> thread, std::shared_ptr<SqliteLockTable> table, std::string note);

  Task<void> commit_groups();
  Task<void> probe_while_down();
  Group take_group(std::vector<Operation>& operations);
  void answer(const Group& group, std::vector<Result<Outcome>> answers);
  /// Keeps down_reason() current after a transaction; no error: it works.
  void judge(const Error* error);

  EventLoop& loop_;
  std::string path_;
  std::function<void()> changed_;
  std::string note_;
  std::shared_ptr<SqliteLockTable> table_;
  std::unique_ptr<sdk::BlockingThread> thread_;
  std::deque<std::weak_ptr<Waiting>> queue_;
  WaitQueue queue_filled_;
  std::optional<std::string> down_reason_;
  WaitQueue went_down_;
  LogLimit log_limit_;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::lock
