#include "capabilities/lock/sqlite_lock_table.hpp"

#include <utility>

namespace caisson::lock {

namespace {

constexpr std::int64_t kMillisecondsPerHour = 3'600'000;
constexpr std::int64_t kLedgerKept = 24 * kMillisecondsPerHour;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS locks (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS locks_by_expiry ON locks (expires_at);
CREATE TABLE IF NOT EXISTS ledger (
  incarnation INTEGER NOT NULL, slot INTEGER NOT NULL, generation INTEGER NOT NULL, outcome INTEGER NOT NULL,
  at INTEGER NOT NULL, PRIMARY KEY (incarnation, slot)) WITHOUT ROWID;
)";

std::int64_t as_signed(std::uint64_t number) { return static_cast<std::int64_t>(number); }

/// A statement is reset, and lets go of what it locks, however its use ends.
struct Reset {
  sdk::Statement& statement;
  ~Reset() { statement.reset(); }
};

}  // namespace

Result<std::shared_ptr<SqliteLockTable>> SqliteLockTable::open(const std::string& path, WallClock now,
                                                               std::string& moved_to) {
  ASSIGN(sdk::Database database, sdk::Database::open(path, moved_to));
  std::shared_ptr<SqliteLockTable> table(new SqliteLockTable(std::move(database), std::move(now)));
  TRY(table->prepare());
  return table;
}

Result<void> SqliteLockTable::prepare() {
  TRY(database_.execute(kSchema));
  const std::pair<sdk::Statement*, std::string_view> statements[] = {
      {&take_,
       "INSERT INTO locks (key, owner, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE "
       "SET owner = excluded.owner, expires_at = excluded.expires_at WHERE expires_at <= ?4"},
      {&find_, "SELECT owner FROM locks WHERE key = ? AND expires_at > ?"},
      {&delete_, "DELETE FROM locks WHERE key = ?"},
      // A few with every transaction: as many end as were taken.
      {&delete_expired_,
       "DELETE FROM locks WHERE key IN (SELECT key FROM locks WHERE expires_at <= ? ORDER BY expires_at LIMIT 1000)"},
      {&find_entry_, "SELECT generation, outcome FROM ledger WHERE incarnation = ? AND slot = ?"},
      {&put_entry_,
       "INSERT OR REPLACE INTO ledger (incarnation, slot, generation, outcome, at) VALUES (?, ?, ?, ?, ?)"},
      {&delete_old_entries_, "DELETE FROM ledger WHERE at < ?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN(*statement, database_.prepare(sql));
  }
  return ok();
}

std::vector<Result<Outcome>> SqliteLockTable::execute(const std::vector<Operation>& operations) {
  auto answers = try_execute(operations);
  if (answers) return *std::move(answers);
  if (database_.in_transaction()) [[maybe_unused]]
    const auto rolled_back = database_.execute("ROLLBACK");
  return std::vector<Result<Outcome>>(operations.size(), answers.error());
}

Result<std::vector<Result<Outcome>>> SqliteLockTable::try_execute(const std::vector<Operation>& operations) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(now_().time_since_epoch()).count();
  std::vector<Result<Outcome>> answers;
  answers.reserve(operations.size());
  TRY(database_.execute("BEGIN IMMEDIATE"));
  for (const Operation& operation : operations) {
    ASSIGN(Result<Outcome> answer, execute_one(operation, now));
    answers.push_back(std::move(answer));
  }
  TRY(forget_what_is_over(now));
  TRY(database_.execute("COMMIT"));
  return answers;
}

Result<Result<Outcome>> SqliteLockTable::execute_one(const Operation& operation, std::int64_t now) {
  const RequestId& request = operation.request;
  if (has_identity(request)) {
    const Reset reset{find_entry_};
    find_entry_.bind(1, as_signed(request.incarnation)).bind(2, std::int64_t{request.slot});
    ASSIGN(const bool known, find_entry_.step());
    const auto generation = known ? static_cast<std::uint64_t>(find_entry_.number(0)) : 0;
    if (known && generation > request.generation) {
      return Result<Outcome>(Error{Errc::kFailedPrecondition, std::string(kStaleRequest)});
    }
    if (known && generation == request.generation) {
      const std::int64_t outcome = find_entry_.number(1);
      if (outcome < 0 || outcome > kLastOutcome) return Error{Errc::kDataLoss, "the ledger holds no outcome"};
      return Result<Outcome>(static_cast<Outcome>(outcome));
    }
  }
  ASSIGN(const Outcome outcome, operation.action == Action::kTake ? take(operation, now) : release(operation, now));
  if (has_identity(request)) {
    put_entry_.bind(1, as_signed(request.incarnation)).bind(2, std::int64_t{request.slot});
    put_entry_.bind(3, as_signed(request.generation)).bind(4, static_cast<std::int64_t>(outcome)).bind(5, now);
    TRY(put_entry_.run());
  }
  return Result<Outcome>(outcome);
}

Result<Outcome> SqliteLockTable::take(const Operation& operation, std::int64_t now) {
  take_.bind(1, operation.key).bind(2, operation.owner).bind(3, now + operation.seconds * 1000).bind(4, now);
  TRY(take_.run());
  return database_.changes() == 1 ? Outcome::kTaken : Outcome::kHeld;
}

Result<Outcome> SqliteLockTable::release(const Operation& operation, std::int64_t now) {
  {
    const Reset reset{find_};
    find_.bind(1, operation.key).bind(2, now);
    ASSIGN(const bool held, find_.step());
    if (!held) return Outcome::kDoesNotExist;
    if (find_.bytes(0) != operation.owner) return Outcome::kBelongsToOthers;
  }
  delete_.bind(1, operation.key);
  TRY(delete_.run());
  return Outcome::kReleased;
}

Result<void> SqliteLockTable::forget_what_is_over(std::int64_t now) {
  delete_expired_.bind(1, now);
  TRY(delete_expired_.run());
  if (now - ledger_swept_at_ < kMillisecondsPerHour && now >= ledger_swept_at_) return ok();
  ledger_swept_at_ = now;
  delete_old_entries_.bind(1, now - kLedgerKept);
  return delete_old_entries_.run();
}

Result<void> SqliteLockTable::probe() { return database_.execute("PRAGMA user_version = 1"); }

}  // namespace caisson::lock
