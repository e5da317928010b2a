#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/state/sqlite_database.hpp"
#include "capabilities/state/store.hpp"
#include "sdk/blocking_thread.hpp"
#include "sdk/counters.hpp"

namespace caisson::state {

/// `state.sqlite`: group commit. Writes wait in a queue while a transaction is being committed on a
/// thread of its own; all that wait then go into the next one, and each is answered once that COMMIT
/// has returned, so the cost of a flush to the disk is shared by as many as come meanwhile.
///
/// Reads are done on the event loop, by a connection of their own: WAL readers never wait for the
/// writer, and a read of cached pages takes less than handing it to a thread and back. Those of one turn
/// of the loop share a snapshot. Without WAL, and while another process holds the file, they go to the
/// thread.
///
/// The destructor waits for the transaction that is being committed.
class SqliteStore final : public Store {
 public:
  struct Hooks {
    /// down_reason() has changed.
    std::function<void()> changed = [] {};
    sdk::Counter commits;
    sdk::Counter committed_batches;
    sdk::Counter failed_commits;
  };

  /// Opens the database on the thread; the loop does not wait for the disk.
  static Task<Result<std::unique_ptr<Store>>> open(EventLoop& loop, SqliteOptions options, WallClock now, Hooks hooks,
                                                   Deadline deadline);
  ~SqliteStore() override;

  Task<Result<std::optional<Entry>>> get(std::string key, Deadline deadline) override;
  Task<Result<std::vector<WriteResult>>> write(Batch batch, Deadline deadline) override;
  [[nodiscard]] std::vector<std::string> features() const override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return down_reason_; }
  [[nodiscard]] std::string note() const override { return database_->note(); }

 private:
  /// One batch from write() to its answer; shared, because the one who waits may be gone before.
  struct Waiting {
    Batch batch;
    std::size_t size = 0;
    bool given_up = false;
    std::optional<SqliteDatabase::Results> result;
    WaitQueue done;
  };
  using Group = std::vector<std::shared_ptr<Waiting>>;

  SqliteStore(EventLoop& loop, std::unique_ptr<sdk::BlockingThread> thread, std::shared_ptr<SqliteDatabase> database,
              Hooks hooks);

  Task<void> commit_groups();
  Group take_group();
  void answer(const Group& group, std::vector<SqliteDatabase::Results> results);
  Task<void> remove_expired_rows();
  Task<void> probe_while_down();
  void judge(const Error* error);

  EventLoop& loop_;
  Hooks hooks_;
  std::shared_ptr<SqliteDatabase> database_;
  std::unique_ptr<sdk::BlockingThread> thread_;
  std::uint64_t turn_end_;
  std::deque<std::shared_ptr<Waiting>> queue_;
  std::size_t queued_bytes_ = 0;
  WaitQueue queue_filled_;
  std::optional<std::string> down_reason_;
  bool damaged_ = false;
  WaitQueue went_down_;
  LogLimit log_limit_;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::state
