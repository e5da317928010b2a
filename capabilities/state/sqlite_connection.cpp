#include "capabilities/state/sqlite_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <thread>

#include "sdk/sqlite_setup.hpp"

namespace caisson::state {

namespace {

constexpr Nanos kLockLook = std::chrono::milliseconds(1);

Errc code_of(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
      return Errc::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Errc::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Errc::kDataLoss;
    case SQLITE_TOOBIG:
      return Errc::kOutOfRange;
    case SQLITE_INTERRUPT:
      return Errc::kCancelled;
    default:
      return Errc::kInternal;
  }
}

Error error_of(sqlite3* handle) {
  const int code = sqlite3_extended_errcode(handle);
  return {code_of(code), fmt::format("{} (SQLite {})", sqlite3_errmsg(handle), code)};
}

}  // namespace

SqliteStatement& SqliteStatement::bind(int index, std::string_view text) {
  // A null pointer would bind NULL, not the empty text.
  const char* const bytes = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(statement_.get(), index, bytes, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::bind(int index, std::int64_t number) {
  sqlite3_bind_int64(statement_.get(), index, number);
  return *this;
}

SqliteStatement& SqliteStatement::bind_null(int index) {
  sqlite3_bind_null(statement_.get(), index);
  return *this;
}

Result<bool> SqliteStatement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = error_of(sqlite3_db_handle(statement_.get()));
  reset();
  return error;
}

Result<void> SqliteStatement::run() {
  TRY(step());
  reset();
  return ok();
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::string_view SqliteStatement::text(int column) const {
  const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::int64_t SqliteStatement::number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

Result<SqliteConnection> SqliteConnection::open(const std::string& path, Access access, Nanos busy_timeout) {
  const int mode = access == Access::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sdk::set_up_sqlite();
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (handle == nullptr) return Error{Errc::kResourceExhausted, "no memory for a database connection"};
  SqliteConnection connection(handle);
  if (code != SQLITE_OK) return error_of(handle);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  connection.wait_for_locks(busy_timeout);
  return connection;
}

/// SQLite's own way of waiting looks every tenth of a second, too rarely for processes that share a file.
void SqliteConnection::wait_for_locks(Nanos busy_timeout) {
  const auto looks = static_cast<std::intptr_t>(std::min<Nanos>(busy_timeout, std::chrono::minutes(10)) / kLockLook);
  const auto wait = [](void* most, int looked) {
    if (looked >= reinterpret_cast<std::intptr_t>(most)) return 0;
    std::this_thread::sleep_for(kLockLook);
    return 1;
  };
  sqlite3_busy_handler(handle_.get(), wait, reinterpret_cast<void*>(looks));
}

Result<void> SqliteConnection::execute(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return error_of(handle_.get());
  return ok();
}

Result<std::string> SqliteConnection::query(const std::string& sql) {
  ASSIGN(SqliteStatement statement, prepare(sql));
  ASSIGN(const bool row, statement.step());
  return row ? std::string(statement.text(0)) : std::string();
}

Result<SqliteStatement> SqliteConnection::prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(handle_.get(), sql.c_str(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    return error_of(handle_.get());
  }
  return SqliteStatement(statement);
}

}  // namespace caisson::state
