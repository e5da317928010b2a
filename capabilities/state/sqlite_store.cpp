#include "capabilities/state/sqlite_store.hpp"

#include <fmt/format.h>

namespace caisson::state {

namespace {

/// What may wait for its commit, before write() refuses more.
constexpr std::size_t kMaxQueued = 8192;
constexpr std::size_t kMaxQueuedBytes = 64U << 20;
/// What goes into one transaction: large enough to share a flush, small enough that nobody waits
/// long for a neighbour's megabytes.
constexpr std::size_t kMaxGroup = 1024;
constexpr std::size_t kMaxGroupBytes = 8U << 20;
constexpr int kRowsPerCleanup = 1000;
constexpr Nanos kProbeInterval = std::chrono::seconds(1);
/// Jobs on the thread: one commit, one cleanup, one probe, and reads that cannot be on the loop.
constexpr std::size_t kThreadQueue = 1024;

std::size_t size_of(const Batch& batch) {
  std::size_t size = 0;
  for (const Write& write : batch.writes) size += write.key.size() + write.value.size() + sizeof(Write);
  return size;
}

/// Ends a blocking open() early when the one who waits for it is gone.
struct StopOnExit {
  std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);
  ~StopOnExit() { stop->store(true); }
};

}  // namespace

Task<Result<std::unique_ptr<Store>>> SqliteStore::open(EventLoop& loop, SqliteOptions options, WallClock now,
                                                       Hooks hooks, Deadline deadline) {
  auto thread = std::make_unique<sdk::BlockingThread>(loop, kThreadQueue);
  const StopOnExit guard;  // after the thread, whose destructor waits for the job
  using Opened = Result<std::shared_ptr<SqliteDatabase>>;
  auto job = [options = std::move(options), now = std::move(now), stop = guard.stop]() -> Opened {
    ASSIGN(auto database, SqliteDatabase::open(options, now, stop));
    return std::shared_ptr<SqliteDatabase>(std::move(database));
  };
  auto task = thread->run(std::move(job), deadline);
  CO_ASSIGN(auto database, co_await std::move(task));
  std::unique_ptr<Store> store(new SqliteStore(loop, std::move(thread), std::move(database), std::move(hooks)));
  co_return store;
}

SqliteStore::SqliteStore(EventLoop& loop, std::unique_ptr<sdk::BlockingThread> thread,
                         std::shared_ptr<SqliteDatabase> database, Hooks hooks)
    : loop_(loop),
      hooks_(std::move(hooks)),
      database_(std::move(database)),
      thread_(std::move(thread)),
      turn_end_(loop.at_turn_end([this] { database_->end_reads(); })),
      scope_(loop) {
  scope_.spawn(commit_groups());
  scope_.spawn(probe_while_down());
  if (database_->options().cleanup_interval > Nanos::zero()) scope_.spawn(remove_expired_rows());
}

SqliteStore::~SqliteStore() { loop_.remove_turn_end(turn_end_); }

std::vector<std::string> SqliteStore::features() const { return {"ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE"}; }

Task<Result<std::optional<Entry>>> SqliteStore::get(std::string key, Deadline deadline) {
  if (database_->reads_beside_writes()) {
    auto entry = database_->read(key);
    if (entry || entry.error().code != Errc::kUnavailable) {
      if (!entry && entry.error().code != Errc::kInternal) judge(&entry.error());
      co_return entry;
    }
    // Locked for a moment by another process: the thread has the patience that the loop has not.
  }
  auto job = [database = database_, key = std::move(key)] { return database->read_between_writes(key); };
  auto task = thread_->run(std::move(job), deadline);
  co_return co_await std::move(task);
}

Task<Result<std::vector<WriteResult>>> SqliteStore::write(Batch batch, Deadline deadline) {
  const auto waiting = std::make_shared<Waiting>();
  waiting->size = size_of(batch);
  waiting->batch = std::move(batch);
  if (queue_.size() >= kMaxQueued || queued_bytes_ + waiting->size > kMaxQueuedBytes) {
    co_return Error{Errc::kResourceExhausted, "too many writes wait for the database"};
  }
  queue_.push_back(waiting);
  queued_bytes_ += waiting->size;
  queue_filled_.wake_all();
  while (!waiting->result) {
    const Wake wake = co_await waiting->done.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !waiting->result) {
      waiting->given_up = true;  // not executed any more, unless its transaction has begun
      co_return Error{Errc::kDeadlineExceeded, "the database did not commit the write in time"};
    }
  }
  co_return *std::move(waiting->result);
}

/// One transaction after the other, each with all that came during the one before.
Task<void> SqliteStore::commit_groups() {
  while (true) {
    const Group group = take_group();
    if (group.empty()) {
      co_await queue_filled_.wait(loop_, Deadline::never());
      continue;
    }
    auto batches = std::make_shared<std::vector<Batch>>();
    batches->reserve(group.size());
    for (const auto& waiting : group) batches->push_back(std::move(waiting->batch));

    using Answers = Result<std::vector<SqliteDatabase::Results>>;
    auto job = [database = database_, batches]() -> Answers { return database->commit(*batches); };
    auto task = thread_->run(std::move(job), Deadline::never());
    auto answers = co_await std::move(task);
    if (answers) {
      answer(group, *std::move(answers));
    } else {  // the thread's queue is full of reads
      answer(group, std::vector<SqliteDatabase::Results>(group.size(), answers.error()));
    }
  }
}

SqliteStore::Group SqliteStore::take_group() {
  Group group;
  std::size_t bytes = 0;
  while (!queue_.empty() && group.size() < kMaxGroup) {
    const std::shared_ptr<Waiting>& next = queue_.front();
    if (!group.empty() && bytes + next->size > kMaxGroupBytes) break;
    queued_bytes_ -= next->size;
    if (!next->given_up) {
      bytes += next->size;
      group.push_back(next);
    }
    queue_.pop_front();
  }
  return group;
}

void SqliteStore::answer(const Group& group, std::vector<SqliteDatabase::Results> results) {
  database_->end_reads();  // who learns of a write reads it from now on
  const Error* failure = nullptr;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const bool failed = !results[i] && results[i].error().code != Errc::kFailedPrecondition;
    if (failed) failure = &results[i].error();
  }
  if (failure == nullptr) {
    hooks_.commits.add();
    hooks_.committed_batches.add(group.size());
  } else {
    hooks_.failed_commits.add();
  }
  judge(failure);
  for (std::size_t i = 0; i < group.size(); ++i) {
    group[i]->result.emplace(std::move(results[i]));
    group[i]->done.wake_all();
  }
}

/// Keeps down_reason() current after a commit (no error: it works) and after a failed read.
void SqliteStore::judge(const Error* error) {
  // A value that is too long and a write to a read-only file say nothing about the database.
  if (error != nullptr && (error->code == Errc::kOutOfRange || error->code == Errc::kPermissionDenied)) return;
  const bool was_down = down_reason_.has_value();
  if (error == nullptr) {
    if (!damaged_) down_reason_.reset();
  } else {
    // A damaged page stays damaged, whatever else still works: a person has to look at it.
    damaged_ = damaged_ || error->code == Errc::kDataLoss;
    down_reason_ = error->message;
    log_limit_.log(LogLevel::kError, fmt::format("state.sqlite: {}: {}", database_->options().path, error->message));
    went_down_.wake_all();
  }
  if (was_down != down_reason_.has_value()) {
    if (was_down) log(LogLevel::kInfo, fmt::format("state.sqlite: {} works again", database_->options().path));
    hooks_.changed();
  }
}

Task<void> SqliteStore::probe_while_down() {
  while (true) {
    if (!down_reason_) {
      co_await went_down_.wait(loop_, Deadline::never());
      continue;
    }
    co_await loop_.sleep_until(loop_.deadline_in(kProbeInterval));
    auto job = [database = database_] { return database->probe(); };
    auto task = thread_->run(std::move(job), Deadline::never());
    const auto probed = co_await std::move(task);
    if (probed) judge(nullptr);
  }
}

Task<void> SqliteStore::remove_expired_rows() {
  while (true) {
    co_await loop_.sleep_until(loop_.deadline_in(database_->options().cleanup_interval));
    while (true) {
      // In pieces, so that commits come between them.
      auto job = [database = database_] { return database->remove_expired(kRowsPerCleanup); };
      auto task = thread_->run(std::move(job), Deadline::never());
      const auto removed = co_await std::move(task);
      if (!removed) {
        log_limit_.log(LogLevel::kWarning, fmt::format("state.sqlite: {}: rows whose time is over were not removed: {}",
                                                       database_->options().path, removed.error().message));
      }
      if (!removed || *removed < kRowsPerCleanup) break;
    }
  }
}

}  // namespace caisson::state
