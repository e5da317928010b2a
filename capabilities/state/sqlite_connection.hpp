#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bus/clock.hpp"
#include "bus/result.hpp"

namespace caisson::state {

/// A prepared statement. What is bound must live until the statement has been run.
class SqliteStatement {
 public:
  SqliteStatement() = default;
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  /// Parameters count from 1.
  SqliteStatement& bind(int index, std::string_view text);
  SqliteStatement& bind(int index, std::int64_t number);
  SqliteStatement& bind_null(int index);

  /// The next row: true, or false at the end. An error leaves the statement reset.
  Result<bool> step();
  /// Runs a statement that gives no rows, and resets it.
  Result<void> run();
  void reset();

  /// Columns count from 0; views are valid until the next step or reset.
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// One connection to a database file. Used by one thread at a time.
///
/// Errors: kResourceExhausted for a full disk, kUnavailable for a lock that was not given in time or
/// a failing disk, kDataLoss for a file that is damaged or no database, kOutOfRange for a value that
/// is too long, kInternal for anything else.
class SqliteConnection {
 public:
  enum class Access : std::uint8_t { kReadOnly, kReadWrite };

  /// The file is created when it is missing and may be written. ":memory:" is a database of its own.
  static Result<SqliteConnection> open(const std::string& path, Access access, Nanos busy_timeout);
  /// How long to wait for a lock that another process holds.
  void wait_for_locks(Nanos busy_timeout);

  Result<void> execute(const std::string& sql);
  /// Runs a statement and gives the first column of its first row; empty when there is no row.
  Result<std::string> query(const std::string& sql);
  Result<SqliteStatement> prepare(const std::string& sql);

  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  /// Rows that the last INSERT, UPDATE or DELETE touched.
  [[nodiscard]] int changes() const { return sqlite3_changes(handle_.get()); }
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  explicit SqliteConnection(sqlite3* handle) : handle_(handle) {}

  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace caisson::state
