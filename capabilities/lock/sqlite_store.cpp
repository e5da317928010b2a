#include "capabilities/lock/sqlite_store.hpp"

#include <fmt/format.h>

namespace caisson::lock {

namespace {

/// Operations that wait for their commit, before execute() refuses more.
constexpr std::size_t kMaxQueued = 1024;
constexpr Nanos kProbeInterval = std::chrono::seconds(1);
/// Jobs on the thread: one transaction and one probe.
constexpr std::size_t kThreadQueue = 8;

struct OpenedTable {
  std::shared_ptr<SqliteLockTable> table;
  std::string moved_to;
};

}  // namespace

Task<Result<std::unique_ptr<Store>>> SqliteStore::open(EventLoop& loop, std::string path, WallClock now,
                                                       std::function<void()> changed, Deadline deadline) {
  auto thread = std::make_unique<sdk::BlockingThread>(loop, kThreadQueue);
  auto job = [path, now = std::move(now)]() -> Result<OpenedTable> {
    OpenedTable opened;
    ASSIGN(opened.table, SqliteLockTable::open(path, now, opened.moved_to));
    return opened;
  };
  auto task = thread->run(std::move(job), deadline);
  CO_ASSIGN(OpenedTable opened, co_await std::move(task));
  std::string note;
  if (!opened.moved_to.empty()) {
    note = fmt::format("{} was damaged; it is {} now, and all locks are forgotten", path, opened.moved_to);
    log(LogLevel::kError, "lock.sqlite: " + note);
  }
  std::unique_ptr<Store> store(new SqliteStore(loop, std::move(path), std::move(changed), std::move(thread),
                                               std::move(opened.table), std::move(note)));
  co_return store;
}

SqliteStore::SqliteStore(EventLoop& loop, std::string path, std::function<void()> changed,
                         std::unique_ptr<sdk::BlockingThread> thread, std::shared_ptr<SqliteLockTable> table,
                         std::string note)
    : loop_(loop),
      path_(std::move(path)),
      changed_(std::move(changed)),
      note_(std::move(note)),
      table_(std::move(table)),
      thread_(std::move(thread)),
      scope_(loop) {
  scope_.spawn(commit_groups());
  scope_.spawn(probe_while_down());
}

Task<Result<Outcome>> SqliteStore::execute(Operation operation, Deadline deadline) {
  if (queue_.size() >= kMaxQueued)
    co_return Error{Errc::kResourceExhausted, "too many operations wait for the database"};
  const auto waiting = std::make_shared<Waiting>();
  waiting->operation = std::move(operation);
  queue_.push_back(waiting);
  queue_filled_.wake_all();
  while (!waiting->answer) {
    const Wake wake = co_await waiting->done.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !waiting->answer) {
      co_return Error{Errc::kDeadlineExceeded, "the database did not commit the operation in time"};
    }
  }
  co_return *std::move(waiting->answer);
}

/// One transaction after the other, each with all that came during the one before.
Task<void> SqliteStore::commit_groups() {
  while (true) {
    auto operations = std::make_shared<std::vector<Operation>>();
    const Group group = take_group(*operations);
    if (group.empty()) {
      co_await queue_filled_.wait(loop_, Deadline::never());
      continue;
    }
    using Answers = Result<std::vector<Result<Outcome>>>;
    auto job = [table = table_, operations]() -> Answers { return table->execute(*operations); };
    auto task = thread_->run(std::move(job), Deadline::never());
    auto answers = co_await std::move(task);
    if (answers) {
      answer(group, *std::move(answers));
    } else {
      answer(group, std::vector<Result<Outcome>>(group.size(), answers.error()));
    }
  }
}

SqliteStore::Group SqliteStore::take_group(std::vector<Operation>& operations) {
  Group group;
  for (const std::weak_ptr<Waiting>& one : queue_) {
    if (const auto waiting = one.lock()) {
      group.push_back(one);
      operations.push_back(std::move(waiting->operation));
    }
  }
  queue_.clear();
  return group;
}

void SqliteStore::answer(const Group& group, std::vector<Result<Outcome>> answers) {
  const Error* failure = nullptr;
  for (const auto& one : answers) {
    if (!one && one.error().code != Errc::kFailedPrecondition) failure = &one.error();
  }
  judge(failure);
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (const auto waiting = group[i].lock()) {
      waiting->answer.emplace(std::move(answers[i]));
      waiting->done.wake_all();
    }
  }
}

void SqliteStore::judge(const Error* error) {
  const bool was_down = down_reason_.has_value();
  if (error == nullptr) {
    down_reason_.reset();
  } else {
    down_reason_ = error->message;
    log_limit_.log(LogLevel::kError, fmt::format("lock.sqlite: {}: {}", path_, error->message));
    went_down_.wake_all();
  }
  if (was_down == down_reason_.has_value()) return;
  if (was_down) log(LogLevel::kInfo, fmt::format("lock.sqlite: {} works again", path_));
  changed_();
}

Task<void> SqliteStore::probe_while_down() {
  while (true) {
    if (!down_reason_) {
      co_await went_down_.wait(loop_, Deadline::never());
      continue;
    }
    co_await loop_.sleep_until(loop_.deadline_in(kProbeInterval));
    auto job = [table = table_] { return table->probe(); };
    auto task = thread_->run(std::move(job), Deadline::never());
    const auto probed = co_await std::move(task);
    if (probed) judge(nullptr);
  }
}

}  // namespace caisson::lock
