#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/state/ledger.hpp"
#include "capabilities/state/sqlite_connection.hpp"
#include "capabilities/state/sqlite_options.hpp"
#include "capabilities/state/sqlite_turn.hpp"
#include "capabilities/state/store.hpp"
#include "capabilities/state/wall_time.hpp"
#include "sdk/database_file.hpp"

namespace caisson::state {

/// A state database: opening and checking the file, its tables, reads and writes. Every call blocks.
///
/// The tables are those of Dapr's state.sqlite, so that either runtime can take over the other's
/// file; ours beside them: `caisson_ledger` (store.hpp) and a partial index on expiration_time.
/// read() and end_reads() use a connection of their own: they may be on one thread, all the other calls on
/// another. Several processes may share a file (SqliteOptions::shared): all or none of them say so.
class SqliteDatabase {
 public:
  using Results = Result<std::vector<WriteResult>>;

  /// Opens the file, creating what is missing. A file that is damaged or no database is moved aside
  /// with a loud log line, and a new one begun; note() says so. `stop`, set by another thread, ends
  /// a long check early with kCancelled.
  static Result<std::unique_ptr<SqliteDatabase>> open(SqliteOptions options, WallClock now,
                                                      std::shared_ptr<std::atomic<bool>> stop);

  /// True when readers never wait for the writer (WAL); else only read_between_writes() is there.
  [[nodiscard]] bool reads_beside_writes() const { return reader_.has_value(); }
  /// The value with its etag. kUnavailable, at once, when another process holds the file.
  ///
  /// The first read takes a snapshot, which the following ones share until end_reads(): taking one and letting go
  /// of it costs two file locks. To be called before anybody waits, and before a commit is told of, so that
  /// nobody reads what was before a write he knows of. Where other processes write as well, which do not say so,
  /// each read takes a snapshot of its own.
  Result<std::optional<Entry>> read(const std::string& key);
  void end_reads();
  /// The same for the writer's thread; waits for another process that holds the file.
  Result<std::optional<Entry>> read_between_writes(const std::string& key);

  /// Executes batches in one transaction, an atomic one of several writes within a savepoint of its own, and
  /// commits it; one answer per batch. When the transaction fails, none of them was written; unless the file was
  /// merely locked, each is then tried by itself, so that one that is too big fails alone.
  std::vector<Results> commit(const std::vector<Batch>& batches);

  /// Removes up to `limit` rows whose time is over, and ledger entries that are a day old. Gives the
  /// number of rows.
  Result<int> remove_expired(int limit);
  /// Finds out whether the file can be written (again).
  Result<void> probe();

  [[nodiscard]] const std::string& note() const { return note_; }
  [[nodiscard]] const SqliteOptions& options() const { return options_; }

 private:
  struct WriterStatements {
    SqliteStatement begin, commit, rollback, savepoint, rollback_to, release;
    SqliteStatement set, set_new, set_matching, remove, remove_matching;
    SqliteStatement ledger_get, ledger_put, expire, expire_ledger;
    SqliteStatement get;
  };

  struct ReaderStatements {
    SqliteStatement begin, get, end;
  };

  SqliteDatabase(SqliteOptions options, WallClock now, sdk::FileLock lock, SqliteTurn turn, SqliteConnection writer,
                 std::string note);
  Result<void> prepare();
  Result<void> prepare_reads();

  Result<std::vector<Results>> commit_together(const Batch* batches, std::size_t count);
  Result<std::vector<Results>> try_commit(const Batch* batches, std::size_t count);
  Result<Results> execute(const Batch& batch, std::string_view now);
  Result<std::vector<WriteResult>> execute_writes(const Batch& batch, std::string_view now);
  Result<WriteResult> execute_write(const Write& write, std::string_view now);
  Result<WriteResult> execute_set(const Write& write, std::string_view now);
  Result<WriteResult> execute_delete(const Write& write, std::string_view now);
  void roll_back();

  SqliteOptions options_;
  WallClock now_;
  sdk::FileLock lock_;  // before the connections: let go of after they are closed
  SqliteTurn turn_;
  SqliteConnection writer_;
  WriterStatements writes_;
  NewestGenerations newest_;
  std::optional<SqliteConnection> reader_;
  ReaderStatements reads_;
  SqlTime reader_time_;  // of the thread that reads; the other is the writer's
  SqlTime writer_time_;
  std::string note_;
};

}  // namespace caisson::state
