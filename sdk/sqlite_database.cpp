#include "sdk/sqlite_database.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "sdk/sqlite_setup.hpp"

namespace caisson::sdk {

namespace {

/// Up to this size the whole file is checked at start; a larger one is found damaged when it is read.
constexpr off_t kCheckedWhole = 64 * 1024 * 1024;

Error error_of(sqlite3* handle, int code) {
  const std::string message = handle == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle);
  switch (code & 0xFF) {
    case SQLITE_FULL:
      return {Errc::kResourceExhausted, "the disk is full"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Errc::kDataLoss, "the database file is damaged: " + message};
    case SQLITE_TOOBIG:
      return {Errc::kInvalidArgument, message};
    default:
      return {Errc::kUnavailable, "SQLite: " + message};
  }
}

}  // namespace

Statement& Statement::bind(int index, std::int64_t number) {
  sqlite3_bind_int64(statement_.get(), index, number);
  return *this;
}

// A null pointer would be bound as NULL, so empty ones point to something.
Statement& Statement::bind(int index, std::string_view text) {
  const char* const data = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  const char* const data = bytes.data() == nullptr ? "" : bytes.data();
  sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = error_of(sqlite3_db_handle(statement_.get()), code);
  sqlite3_reset(statement_.get());
  return error;
}

Result<void> Statement::run() {
  while (true) {
    ASSIGN(const bool more, step());
    if (!more) break;
  }
  reset();
  return ok();
}

std::string_view Statement::bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), size);
}

Result<Database> Database::open(const std::string& path, std::string& moved_to) {
  ASSIGN(FileLock lock, FileLock::take(path));
  Result<Database> database = open_sound(path);
  if (!database && database.error().code == Errc::kDataLoss) {
    ASSIGN(moved_to, move_aside(path, std::to_string(std::time(nullptr))));
    database = open_sound(path);
  }
  if (!database) return database;
  database->lock_ = std::move(lock);
  return database;
}

Result<Database> Database::open_sound(const std::string& path) {
  Database database;
  sqlite3* handle = nullptr;
  set_up_sqlite();
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  database.handle_.reset(handle);
  if (code != SQLITE_OK) {
    Error error = error_of(handle, code);
    error.message = fmt::format("{}: {}", path, error.message);
    return error;
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 1000);  // a tool that looks into the file, never another process of ours
  TRY(database.execute("PRAGMA journal_mode=WAL"));
  TRY(database.execute("PRAGMA synchronous=FULL"));
  TRY(database.execute("PRAGMA cache_size=-1024"));
  TRY(database.execute("SELECT count(*) FROM sqlite_schema"));

  struct stat file {};
  if (::stat(path.c_str(), &file) == 0 && file.st_size <= kCheckedWhole) {
    ASSIGN(Statement check, database.prepare("PRAGMA quick_check(1)"));
    ASSIGN(const bool row, check.step());
    if (!row || check.bytes(0) != "ok") {
      return Error{Errc::kDataLoss, fmt::format("the database file is damaged: {}", check.bytes(0))};
    }
  }
  return database;
}

Result<void> Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(handle_.get(), code);
  return ok();
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return error_of(handle_.get(), code);
  return Statement(statement);
}

}  // namespace caisson::sdk
