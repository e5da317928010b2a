#include "capabilities/state/sqlite_database.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "bus/log.hpp"
#include "capabilities/state/etag.hpp"
#include "capabilities/state/ledger.hpp"
#include "capabilities/state/sqlite_schema.hpp"
#include "capabilities/state/wall_time.hpp"
#include "sdk/base64.hpp"

namespace caisson::state {

namespace {

using Access = SqliteConnection::Access;

/// Files above this are not checked page by page at every start: reading them could take longer
/// than a component has for its initialisation. Damage is then found by the first read of it.
constexpr std::int64_t kCheckedSize = 256 << 20;
constexpr std::int64_t kLedgerKeptMs = 24LL * 3600 * 1000;
/// How long a write waits for those of other processes; what they commit in one go is bounded (kMaxGroupBytes).
constexpr Nanos kSharedPatience = std::chrono::seconds(5);
/// Instructions of SQLite's machine between two looks at the stop flag; well under a millisecond.
constexpr int kProgressSteps = 10'000;

bool is_damage(const Error& error) { return error.code == Errc::kDataLoss; }

Result<void> configure(SqliteConnection& connection, const SqliteOptions& options) {
  for (const auto& [name, value] : options.pragmas) {
    TRY(connection.query(fmt::format("PRAGMA {}={}", name, value)));
  }
  if (options.read_only) return ok();
  if (options.in_memory()) return ok();
  ASSIGN(const std::string mode,
         connection.query(options.wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE"));
  if (options.wal && mode != "wal") {
    return Error{Errc::kUnavailable, "the file system does not allow WAL; set disableWAL"};
  }
  // FULL: COMMIT returns only once the log is on the disk.
  TRY(connection.execute("PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864"));
  return ok();
}

Result<void> check(SqliteConnection& connection, const SqliteOptions& options) {
  TRY(connection.query("SELECT count(*) FROM sqlite_master"));
  struct stat info {};
  if (options.in_memory() || ::stat(options.path.c_str(), &info) != 0 || info.st_size > kCheckedSize) return ok();
  ASSIGN(const std::string verdict, connection.query("PRAGMA quick_check(1)"));
  // The second line says what was found, the first only where.
  if (verdict != "ok") return Error{Errc::kDataLoss, verdict.substr(verdict.find('\n') + 1)};
  return ok();
}

/// `alone`: no other process has opened, and so checked, the file before.
Result<SqliteConnection> open_checked(const SqliteOptions& options, bool alone, std::atomic<bool>& stop) {
  const Access access = options.read_only ? Access::kReadOnly : Access::kReadWrite;
  ASSIGN(SqliteConnection connection, SqliteConnection::open(options.path, access, options.busy_timeout));
  sqlite3_progress_handler(
      connection.handle(), kProgressSteps,
      [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load() ? 1 : 0; }, &stop);
  if (alone) TRY(check(connection, options));
  TRY(configure(connection, options));
  if (!options.read_only) TRY(create_tables(connection, options));
  sqlite3_progress_handler(connection.handle(), 0, nullptr, nullptr);
  return connection;
}

std::string utc_stamp(std::int64_t unix_milliseconds) {
  std::string stamp;
  for (const char c : rfc3339(unix_milliseconds)) {
    if (c != '-' && c != ':') stamp += c;
  }
  return stamp;
}

Error about(const std::string& path, Error error) {
  error.message = fmt::format("{}: {}", path, error.message);
  return error;
}

}  // namespace

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open(SqliteOptions options, WallClock now,
                                                             std::shared_ptr<std::atomic<bool>> stop) {
  sdk::FileLock lock;
  SqliteTurn turn;
  const bool is_locked = !options.in_memory() && !options.read_only;
  options.shared = options.shared && is_locked;
  if (is_locked) {
    ASSIGN(lock, options.shared ? sdk::FileLock::take_shared(options.path) : sdk::FileLock::take(options.path));
  }
  if (options.shared) {
    ASSIGN(turn, SqliteTurn::open(options.path));
  }
  std::string note;
  turn.take(options.busy_timeout);
  auto connection = open_checked(options, lock.is_alone(), *stop);
  turn.give_back();
  // One that others have open stays where it is: what they write would go with it.
  if (!connection && is_damage(connection.error()) && is_locked && lock.is_alone()) {
    const std::string damage = connection.error().message;
    ASSIGN(const std::string aside, sdk::move_aside(options.path, utc_stamp(now())));
    note = fmt::format("{} was damaged ({}) and has been moved to {}; the store began anew, empty", options.path,
                       damage, aside);
    log(LogLevel::kError, "state.sqlite: " + note);
    connection = open_checked(options, true, *stop);
  }
  if (!connection) return about(options.path, std::move(connection).error());

  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(
      std::move(options), std::move(now), std::move(lock), std::move(turn), *std::move(connection), std::move(note)));
  auto prepared = database->prepare();
  if (prepared && database->options_.shared && database->lock_.is_alone()) prepared = database->lock_.share();
  if (!prepared) return about(database->options_.path, std::move(prepared).error());
  return database;
}

SqliteDatabase::SqliteDatabase(SqliteOptions options, WallClock now, sdk::FileLock lock, SqliteTurn turn,
                               SqliteConnection writer, std::string note)
    : options_(std::move(options)),
      now_(std::move(now)),
      lock_(std::move(lock)),
      turn_(std::move(turn)),
      writer_(std::move(writer)),
      note_(std::move(note)) {}

Result<void> SqliteDatabase::prepare() {
  const std::string& table = options_.table;
  if (options_.shared) writer_.wait_for_locks(std::max<Nanos>(options_.busy_timeout, kSharedPatience));
  if (!options_.read_only) {
    const std::string insert = fmt::format(
        "INSERT INTO {} (key, value, is_binary, etag, expiration_time, update_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, is_binary = excluded.is_binary, "
        "etag = excluded.etag, expiration_time = excluded.expiration_time, update_time = excluded.update_time",
        table);
    const auto sql = [&](std::string_view pattern) { return fmt::format(fmt::runtime(pattern), table); };
    ASSIGN(writes_.begin, writer_.prepare("BEGIN IMMEDIATE"));
    ASSIGN(writes_.commit, writer_.prepare("COMMIT"));
    ASSIGN(writes_.rollback, writer_.prepare("ROLLBACK"));
    ASSIGN(writes_.savepoint, writer_.prepare("SAVEPOINT request"));
    ASSIGN(writes_.rollback_to, writer_.prepare("ROLLBACK TO request"));
    ASSIGN(writes_.release, writer_.prepare("RELEASE request"));
    ASSIGN(writes_.set, writer_.prepare(insert));
    // A row whose time is over counts as missing.
    ASSIGN(writes_.set_new,
           writer_.prepare(insert + fmt::format(" WHERE {}.expiration_time IS NOT NULL AND {}.expiration_time <= ?6",
                                                table, table)));
    ASSIGN(writes_.set_matching,
           writer_.prepare(sql("UPDATE {} SET value = ?2, is_binary = ?3, etag = ?4, expiration_time = ?5, "
                               "update_time = ?6 WHERE key = ?1 AND etag = ?7 "
                               "AND (expiration_time IS NULL OR expiration_time > ?6)")));
    ASSIGN(writes_.remove, writer_.prepare(sql("DELETE FROM {} WHERE key = ?1")));
    ASSIGN(writes_.remove_matching, writer_.prepare(sql("DELETE FROM {} WHERE key = ?1 AND etag = ?2 "
                                                        "AND (expiration_time IS NULL OR expiration_time > ?3)")));
    ASSIGN(writes_.ledger_get,
           writer_.prepare("SELECT generation, results FROM caisson_ledger WHERE gateway = ?1 AND slot = ?2"));
    ASSIGN(writes_.ledger_put,
           writer_.prepare("INSERT OR REPLACE INTO caisson_ledger "
                           "(gateway, slot, generation, written, results) VALUES (?1, ?2, ?3, ?4, ?5)"));
    ASSIGN(writes_.expire,
           writer_.prepare(sql("DELETE FROM {0} WHERE key IN (SELECT key FROM {0} "
                               "WHERE expiration_time IS NOT NULL AND expiration_time <= ?1 LIMIT ?2)")));
    ASSIGN(writes_.expire_ledger, writer_.prepare("DELETE FROM caisson_ledger WHERE written < ?1"));
  }
  return prepare_reads();
}

Result<void> SqliteDatabase::prepare_reads() {
  const std::string get = fmt::format(
      "SELECT value, is_binary, etag, expiration_time FROM {} WHERE key = ?1 "
      "AND (expiration_time IS NULL OR expiration_time > ?2)",
      options_.table);
  ASSIGN(writes_.get, writer_.prepare(get));
  if (!options_.wal) return ok();
  // No waiting for locks here: this connection is used on the event loop.
  ASSIGN(SqliteConnection own, SqliteConnection::open(options_.path, Access::kReadOnly, Nanos::zero()));
  SqliteConnection& reader = reader_.emplace(std::move(own));
  ASSIGN(reads_.begin, reader.prepare("BEGIN"));
  ASSIGN(reads_.get, reader.prepare(get));
  ASSIGN(reads_.end, reader.prepare("COMMIT"));
  return ok();
}

namespace {

Result<std::optional<Entry>> entry_of(SqliteStatement& get, const std::string& key, std::string_view now) {
  ASSIGN(const bool found, get.bind(1, key).bind(2, now).step());
  std::optional<Entry> entry;
  bool readable = true;
  if (found) {
    entry.emplace(Entry{std::string(get.text(0)), std::string(get.text(2)), rfc3339_of_sql(get.text(3))});
    if (get.number(1) != 0) {
      auto bytes = sdk::base64_decode(entry->value);
      readable = bytes.has_value();
      if (bytes) entry->value = *std::move(bytes);
    }
  }
  get.reset();
  if (!readable) return Error{Errc::kInternal, "the stored value is marked as binary and is not base64"};
  return entry;
}

}  // namespace

Result<std::optional<Entry>> SqliteDatabase::read(const std::string& key) {
  if (options_.shared) end_reads();
  if (!reader_->in_transaction()) TRY(reads_.begin.run());
  return entry_of(reads_.get, key, reader_time_.at(now_()));
}

Result<std::optional<Entry>> SqliteDatabase::read_between_writes(const std::string& key) {
  return entry_of(writes_.get, key, writer_time_.at(now_()));
}

void SqliteDatabase::end_reads() {
  if (reader_ && reader_->in_transaction()) (void)reads_.end.run();
}

std::vector<SqliteDatabase::Results> SqliteDatabase::commit(const std::vector<Batch>& batches) {
  auto together = try_commit(batches.data(), batches.size());
  if (together) return *std::move(together);
  // A locked or failing file fails each of them alike; a full disk or an oversized value may not.
  const bool worth_trying_alone = together.error().code != Errc::kUnavailable && !is_damage(together.error());
  if (batches.size() == 1 || !worth_trying_alone) return std::vector<Results>(batches.size(), together.error());
  std::vector<Results> answers;
  for (const Batch& batch : batches) {
    auto alone = try_commit(&batch, 1);
    answers.push_back(alone ? std::move(alone->front()) : Results(std::move(alone).error()));
  }
  return answers;
}

Result<std::vector<SqliteDatabase::Results>> SqliteDatabase::try_commit(const Batch* batches, std::size_t count) {
  if (options_.read_only) return Error{Errc::kPermissionDenied, "the database is opened read-only"};
  turn_.take(kSharedPatience);
  auto answers = commit_together(batches, count);
  turn_.give_back();
  return answers;
}

Result<std::vector<SqliteDatabase::Results>> SqliteDatabase::commit_together(const Batch* batches, std::size_t count) {
  const std::string_view now = writer_time_.at(now_());
  TRY(writes_.begin.run());
  std::vector<Results> answers;
  answers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto answer = execute(batches[i], now);
    if (!answer) {
      roll_back();
      return std::move(answer).error();
    }
    answers.push_back(*std::move(answer));
  }
  auto committed = writes_.commit.run();
  if (!committed) {
    roll_back();
    return std::move(committed).error();
  }
  return answers;
}

/// Some errors (a full disk among them) have rolled the transaction back by themselves.
void SqliteDatabase::roll_back() {
  if (writer_.in_transaction()) (void)writes_.rollback.run();
}

/// The outer error is the database's and fails the whole transaction; the inner one is this batch's.
Result<SqliteDatabase::Results> SqliteDatabase::execute(const Batch& batch, std::string_view now) {
  if (!has_identity(batch.request)) {
    ASSIGN(auto results, execute_writes(batch, now));
    return Results(std::move(results));
  }
  const auto gateway = static_cast<std::int64_t>(batch.request.incarnation);
  const auto slot = static_cast<std::int64_t>(batch.request.slot);
  if (!newest_.is_new(batch.request)) {
    ASSIGN(const bool known, writes_.ledger_get.bind(1, gateway).bind(2, slot).step());
    if (known) {
      const auto generation = static_cast<std::uint64_t>(writes_.ledger_get.number(0));
      Results stored = decode_results(writes_.ledger_get.text(1));
      writes_.ledger_get.reset();
      if (generation == batch.request.generation) return stored;
      if (generation > batch.request.generation) {
        return Results(Error{Errc::kFailedPrecondition, std::string(kStaleRequest)});
      }
    } else {
      writes_.ledger_get.reset();
    }
  }
  ASSIGN(auto results, execute_writes(batch, now));
  const std::string text = encode_results(results);
  const auto generation = static_cast<std::int64_t>(batch.request.generation);
  TRY(writes_.ledger_put.bind(1, gateway).bind(2, slot).bind(3, generation).bind(4, now_()).bind(5, text).run());
  if (!options_.shared) newest_.remember(batch.request);  // else others execute later ones of the slot
  return Results(std::move(results));
}

Result<std::vector<WriteResult>> SqliteDatabase::execute_writes(const Batch& batch, std::string_view now) {
  // A refused write leaves nothing behind by itself: only of several can some have to be undone.
  const bool undoable = batch.atomic && batch.writes.size() > 1;
  if (undoable) TRY(writes_.savepoint.run());
  std::vector<WriteResult> results;
  results.reserve(batch.writes.size());
  for (const Write& write : batch.writes) {
    ASSIGN(WriteResult result, execute_write(write, now));
    const bool refused = result.code != Errc::kOk;
    results.push_back(std::move(result));
    if (refused && undoable) {
      TRY(writes_.rollback_to.run());
      for (std::size_t i = 0; i + 1 < results.size(); ++i) results[i] = {Errc::kCancelled, std::string(kOtherRefused)};
      results.resize(batch.writes.size(), {Errc::kCancelled, std::string(kOtherRefused)});
      break;
    }
  }
  if (undoable) TRY(writes_.release.run());
  return results;
}

Result<WriteResult> SqliteDatabase::execute_write(const Write& write, std::string_view now) {
  return write.kind == ChangeKind::kSet ? execute_set(write, now) : execute_delete(write, now);
}

Result<WriteResult> SqliteDatabase::execute_set(const Write& write, std::string_view now) {
  SqliteStatement& statement = !write.if_match.empty() ? writes_.set_matching
                               : write.first_write     ? writes_.set_new
                                                       : writes_.set;
  const bool binary = write.form == ValueForm::kBytes;
  const std::string encoded = binary ? sdk::base64_encode(write.value) : std::string();
  std::string etag = new_etag();
  const std::string expires = write.ttl_seconds > 0 ? sql_time(now_() + write.ttl_seconds * 1000) : std::string();

  statement.bind(1, write.key).bind(2, binary ? encoded : write.value).bind(3, std::int64_t{binary}).bind(4, etag);
  statement.bind(6, now);
  if (!expires.empty()) statement.bind(5, expires);
  if (!write.if_match.empty()) statement.bind(7, write.if_match);
  TRY(statement.run());
  if (writer_.changes() == 0) return WriteResult{Errc::kAborted, std::string(kEtagMismatch)};
  return WriteResult{Errc::kOk, std::move(etag)};
}

Result<WriteResult> SqliteDatabase::execute_delete(const Write& write, std::string_view now) {
  if (write.if_match.empty()) {
    TRY(writes_.remove.bind(1, write.key).run());
    return WriteResult{};
  }
  TRY(writes_.remove_matching.bind(1, write.key).bind(2, write.if_match).bind(3, now).run());
  if (writer_.changes() == 0) return WriteResult{Errc::kAborted, std::string(kEtagMismatch)};
  return WriteResult{};
}

Result<int> SqliteDatabase::remove_expired(int limit) {
  if (options_.read_only) return 0;
  const std::string now = sql_time(now_());
  TRY(writes_.expire_ledger.bind(1, now_() - kLedgerKeptMs).run());
  TRY(writes_.expire.bind(1, now).bind(2, std::int64_t{limit}).run());
  return writer_.changes();
}

Result<void> SqliteDatabase::probe() {
  if (options_.read_only) return ok();
  const std::string now = sql_time(now_());
  ASSIGN(SqliteStatement put,
         writer_.prepare(fmt::format("INSERT OR REPLACE INTO {} (key, value) VALUES ('caisson-probe', ?1)",
                                     options_.metadata_table)));
  return put.bind(1, now).run();
}

}  // namespace caisson::state
