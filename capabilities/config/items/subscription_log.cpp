#include "capabilities/config/items/subscription_log.hpp"

#include <fmt/format.h>

#include <cstring>
#include <functional>
#include <utility>

#include "bus/log.hpp"

namespace caisson::items {

namespace {

/// Deliveries under way are far fewer; a full queue means a disk that stands still.
constexpr std::size_t kQueue = 4096;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS subscriptions(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL, store TEXT NOT NULL,
  incarnation INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS subscription_keys(
  subscription TEXT NOT NULL REFERENCES subscriptions(id) ON DELETE CASCADE, key TEXT NOT NULL,
  PRIMARY KEY(subscription, key)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams(
  subscription TEXT PRIMARY KEY REFERENCES subscriptions(id) ON DELETE CASCADE) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told(
  subscription TEXT NOT NULL REFERENCES subscriptions(id) ON DELETE CASCADE, key TEXT NOT NULL,
  fingerprint BLOB NOT NULL, PRIMARY KEY(subscription, key)) STRICT, WITHOUT ROWID;
PRAGMA foreign_keys=ON;
PRAGMA synchronous=NORMAL;
)";

}  // namespace

struct SubscriptionLog::Tables {
  sdk::Database database;
  // Finalised before the database is closed.
  sdk::Statement insert, insert_key, insert_stream, insert_told, remove, forget_told;

  Result<void> prepare() {
    TRY(database.execute(kSchema));
    ASSIGN(insert, database.prepare("INSERT INTO subscriptions(id, app, store, incarnation) VALUES(?1, ?2, ?3, ?4)"));
    ASSIGN(insert_key, database.prepare("INSERT INTO subscription_keys(subscription, key) VALUES(?1, ?2)"));
    ASSIGN(insert_stream, database.prepare("INSERT INTO streams(subscription) VALUES(?1)"));
    // Only of a subscription that is still there.
    ASSIGN(insert_told, database.prepare("INSERT OR REPLACE INTO told(subscription, key, fingerprint)"
                                         " SELECT id, ?2, ?3 FROM subscriptions WHERE id = ?1"));
    ASSIGN(remove, database.prepare("DELETE FROM subscriptions WHERE id = ?1"));
    ASSIGN(forget_told, database.prepare("DELETE FROM told WHERE subscription = ?1 AND key = ?2"));
    return ok();
  }

  Result<void> read_keys(Stored& stored) {
    ASSIGN(sdk::Statement keys,
           database.prepare("SELECT key FROM subscription_keys WHERE subscription = ?1 ORDER BY key"));
    keys.bind(1, std::string_view(stored.subscription.id));
    while (true) {
      ASSIGN(const bool row, keys.step());
      if (!row) return ok();
      stored.subscription.keys.emplace_back(keys.bytes(0));
    }
  }

  Result<void> read_told(Stored& stored) {
    ASSIGN(sdk::Statement told, database.prepare("SELECT key, fingerprint FROM told WHERE subscription = ?1"));
    told.bind(1, std::string_view(stored.subscription.id));
    while (true) {
      ASSIGN(const bool row, told.step());
      if (!row) return ok();
      const std::string key(told.bytes(0));
      const std::string_view bytes = told.bytes(1);
      Fingerprint fingerprint;
      if (bytes.size() != fingerprint.size()) continue;  // then it is told again
      std::memcpy(fingerprint.data(), bytes.data(), bytes.size());
      stored.told.emplace(key, fingerprint);
    }
  }

  Result<std::vector<Stored>> read_all() {
    std::vector<Stored> all;
    ASSIGN(sdk::Statement select,
           database.prepare("SELECT id, app, store, incarnation, id IN (SELECT subscription FROM streams)"
                            " FROM subscriptions ORDER BY number"));
    while (true) {
      ASSIGN(const bool row, select.step());
      if (!row) break;
      Stored& stored = all.emplace_back();
      stored.subscription.id = select.bytes(0);
      stored.subscription.app = select.bytes(1);
      stored.subscription.store = select.bytes(2);
      stored.subscription.incarnation = static_cast<std::uint64_t>(select.number(3));
      stored.subscription.streamed = select.number(4) != 0;
    }
    for (Stored& stored : all) {
      TRY(read_keys(stored));
      TRY(read_told(stored));
    }
    return all;
  }

  Result<void> write_told(const std::string& id, const std::string& key, const Fingerprint& fingerprint) {
    const std::string_view bytes(reinterpret_cast<const char*>(fingerprint.data()), fingerprint.size());
    return insert_told.bind(1, std::string_view(id)).bind(2, std::string_view(key)).bind_blob(3, bytes).run();
  }

  Result<void> add(const Stored& added, const std::vector<std::string>& replaced) {
    for (const std::string& id : replaced) TRY(remove.bind(1, std::string_view(id)).run());
    const Subscription& subscription = added.subscription;
    insert.bind(1, std::string_view(subscription.id)).bind(2, std::string_view(subscription.app));
    insert.bind(3, std::string_view(subscription.store));
    TRY(insert.bind(4, static_cast<std::int64_t>(subscription.incarnation)).run());
    if (subscription.streamed) TRY(insert_stream.bind(1, std::string_view(subscription.id)).run());
    for (const std::string& key : subscription.keys) {
      TRY(insert_key.bind(1, std::string_view(subscription.id)).bind(2, std::string_view(key)).run());
    }
    for (const auto& [key, fingerprint] : added.told) TRY(write_told(subscription.id, key, fingerprint));
    return ok();
  }

  /// All or nothing, and on the disk when it returns.
  Result<void> in_transaction(const std::function<Result<void>()>& work) {
    TRY(database.execute("PRAGMA synchronous=FULL"));
    TRY(database.execute("BEGIN IMMEDIATE"));
    Result<void> done = work();
    if (done) done = database.execute("COMMIT");
    if (!done && database.in_transaction()) {
      [[maybe_unused]] const auto rolled_back = database.execute("ROLLBACK");
    }
    const Result<void> relaxed = database.execute("PRAGMA synchronous=NORMAL");
    return done ? relaxed : done;
  }
};

SubscriptionLog::SubscriptionLog(EventLoop& loop, std::string path) : path_(std::move(path)) {
  if (!path_.empty()) thread_ = std::make_unique<sdk::BlockingThread>(loop, kQueue);
}

template <class T>
Task<Result<T>> SubscriptionLog::run(std::function<Result<T>(Tables&)> work, Deadline deadline) {
  if (tables_ == nullptr) {
    if (thread_ == nullptr) co_return Result<T>(T());
    co_return Error{Errc::kUnavailable, fmt::format("{} is not open", path_)};
  }
  std::function<Result<T>()> job = [tables = tables_, work = std::move(work)] { return work(*tables); };
  auto task = thread_->run(std::move(job), deadline);
  co_return co_await std::move(task);
}

Task<Result<std::vector<SubscriptionLog::Stored>>> SubscriptionLog::open(Deadline deadline) {
  if (thread_ == nullptr) co_return std::vector<Stored>();
  struct Opened {
    std::shared_ptr<Tables> tables;
    std::vector<Stored> stored;
  };
  std::function<Result<Opened>()> job = [path = path_]() -> Result<Opened> {
    std::string moved_to;
    ASSIGN(sdk::Database database, sdk::Database::open(path, moved_to));
    if (!moved_to.empty()) {
      log(LogLevel::kError, fmt::format("the database of configuration subscriptions was damaged and is now {}; "
                                        "apps must subscribe again",
                                        moved_to));
    }
    Opened opened;
    opened.tables = std::make_shared<Tables>();
    opened.tables->database = std::move(database);
    TRY(opened.tables->prepare());
    ASSIGN(opened.stored, opened.tables->read_all());
    return opened;
  };
  auto task = thread_->run(std::move(job), deadline);
  CO_ASSIGN(Opened opened, co_await std::move(task));
  tables_ = std::move(opened.tables);
  co_return std::move(opened.stored);
}

Task<Result<void>> SubscriptionLog::add(Stored added, std::vector<std::string> replaced, Deadline deadline) {
  std::function<Result<bool>(Tables&)> work = [added = std::move(added),
                                               replaced = std::move(replaced)](Tables& tables) -> Result<bool> {
    TRY(tables.in_transaction([&] { return tables.add(added, replaced); }));
    return true;
  };
  auto task = run<bool>(std::move(work), deadline);
  CO_TRY(co_await std::move(task));
  co_return ok();
}

Task<Result<void>> SubscriptionLog::remove(std::string id, Deadline deadline) {
  std::function<Result<bool>(Tables&)> work = [id = std::move(id)](Tables& tables) -> Result<bool> {
    TRY(tables.in_transaction([&] { return tables.remove.bind(1, std::string_view(id)).run(); }));
    return true;
  };
  auto task = run<bool>(std::move(work), deadline);
  CO_TRY(co_await std::move(task));
  co_return ok();
}

Task<Result<void>> SubscriptionLog::note(std::string id, std::string key, std::optional<Fingerprint> told,
                                         Deadline deadline) {
  std::function<Result<bool>(Tables&)> work = [id = std::move(id), key = std::move(key),
                                               told](Tables& tables) -> Result<bool> {
    if (told) {
      TRY(tables.write_told(id, key, *told));
    } else {
      TRY(tables.forget_told.bind(1, std::string_view(id)).bind(2, std::string_view(key)).run());
    }
    return true;
  };
  auto task = run<bool>(std::move(work), deadline);
  CO_TRY(co_await std::move(task));
  co_return ok();
}

}  // namespace caisson::items
