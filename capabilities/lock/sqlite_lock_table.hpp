#pragma once

#include <memory>
#include <string>
#include <vector>

#include "capabilities/lock/store.hpp"
#include "sdk/sqlite_database.hpp"

namespace caisson::lock {

/// The tables behind `lock.sqlite`. Every call blocks; used by one thread.
///
///   locks   key, owner, expires_at (Unix milliseconds)
///   ledger  incarnation, slot, generation (64 bits, as signed), outcome, at (Unix milliseconds)
class SqliteLockTable {
 public:
  /// Opens or creates the file. `moved_to` names where a damaged one was put.
  static Result<std::shared_ptr<SqliteLockTable>> open(const std::string& path, WallClock now, std::string& moved_to);

  /// Executes operations in order in one transaction and commits it; one answer each. When the
  /// transaction fails, nothing of it happened, and the error is every operation's.
  std::vector<Result<Outcome>> execute(const std::vector<Operation>& operations);
  /// Finds out whether the file can be written (again).
  Result<void> probe();

 private:
  SqliteLockTable(sdk::Database database, WallClock now) : database_(std::move(database)), now_(std::move(now)) {}
  Result<void> prepare();

  Result<std::vector<Result<Outcome>>> try_execute(const std::vector<Operation>& operations);
  /// The outer error is the database's, the inner one the operation's own.
  Result<Result<Outcome>> execute_one(const Operation& operation, std::int64_t now);
  Result<Outcome> take(const Operation& operation, std::int64_t now);
  Result<Outcome> release(const Operation& operation, std::int64_t now);
  Result<void> forget_what_is_over(std::int64_t now);

  sdk::Database database_;
  WallClock now_;
  std::int64_t ledger_swept_at_ = 0;
  // Statements are finalised before the database is closed.
  sdk::Statement take_, find_, delete_, delete_expired_;
  sdk::Statement find_entry_, put_entry_, delete_old_entries_;
};

}  // namespace caisson::lock
