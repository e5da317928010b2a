#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "sdk/database_file.hpp"

namespace caisson::sdk {

/// A prepared statement; bind, step, reset. Views of columns live until the next step.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement, &sqlite3_finalize) {}

  Statement& bind(int index, std::int64_t number);
  /// Text and bytes must live until the statement is stepped or reset.
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  /// True while there is a row.
  Result<bool> step();
  /// Runs to the end and resets.
  Result<void> run();
  void reset() { sqlite3_reset(statement_.get()); }

  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  [[nodiscard]] std::string_view bytes(int column) const;
  [[nodiscard]] bool is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

 private:
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_{nullptr, &sqlite3_finalize};
};

/// One SQLite file that this process alone has open (a lock on PATH.lock says so), in WAL mode with
/// every commit on disk before it is acknowledged. Used by one thread, a blocking one.
class Database {
 public:
  /// Opens or creates the file. A file that is no sound database is moved aside to
  /// PATH.damaged-TIME and an empty one begun; `moved_to` then names it. kAlreadyExists when another
  /// component or process holds the file, kUnavailable when it cannot be opened.
  static Result<Database> open(const std::string& path, std::string& moved_to);

  Result<void> execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  /// False after SQLite itself has rolled the transaction back.
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  [[nodiscard]] std::int64_t last_id() const { return sqlite3_last_insert_rowid(handle_.get()); }
  [[nodiscard]] int changes() const { return sqlite3_changes(handle_.get()); }
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }

 private:
  static Result<Database> open_sound(const std::string& path);

  FileLock lock_;  // before the handle: let go of after the file is closed
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_{nullptr, &sqlite3_close};
};

}  // namespace caisson::sdk
