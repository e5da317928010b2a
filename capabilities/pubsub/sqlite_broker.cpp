#include "capabilities/pubsub/sqlite_broker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace caisson::pubsub {

namespace {

/// Publishes of one transaction: enough to share a disk write, few enough that none waits long.
constexpr std::size_t kBatchCount = 1024;
constexpr std::size_t kBatchBytes = 16 * 1024 * 1024;
constexpr Nanos kPauseAfterFailure = std::chrono::seconds(1);

std::size_t size_of(const Message& message) {
  std::size_t size = message.data.size() + 256;
  for (const auto& [name, value] : message.metadata) size += name.size() + value.size();
  return size;
}

}  // namespace

/// A publish on its way to the disk.
struct SqliteBroker::Publication {
  SqliteLog::Append append;
  std::size_t bytes = 0;
  bool done = false;
  WaitQueue changed;
};

/// One consumer group of one topic in this process.
struct SqliteBroker::Group {
  SqliteLog::GroupId id = 0;
  std::string topic;
  std::deque<SqliteLog::Entry> buffer;
  std::vector<Member*> members;
  std::size_t next_member = 0;
  bool hungry = true;  // the log may hold more for it
  bool dispatching = false;
  std::optional<Nanos> next_due;
};

/// One subscriber: runs handlers for what its group has in memory.
class SqliteBroker::Member final : public Subscription {
 public:
  Member(SqliteBroker& broker, Group& group, Handler handler, std::size_t at_once)
      : broker_(broker),
        group_(group),
        handler_(std::move(handler)),
        at_once_(std::max(at_once, broker.options_.concurrency)),
        scope_(broker.loop_) {
    group_.members.push_back(this);
  }

  ~Member() override {
    for (const std::int64_t id : held_) broker_.settle(group_, id, Verdict::kGiveBack, Nanos{});
    broker_.leave(group_, *this);
  }

  [[nodiscard]] bool has_room() const { return !draining_ && held_.size() < at_once_; }
  void take(SqliteLog::Entry entry) {
    held_.insert(entry.id);
    scope_.spawn(handle(std::move(entry)));
  }

  Task<void> drain(Deadline deadline) override {
    draining_ = true;
    while (!held_.empty()) {
      const Wake wake = co_await changed_.wait(broker_.loop_, deadline);
      if (wake == Wake::kDeadline) co_return;
    }
    co_await broker_.until_settled(deadline);
  }

 private:
  Task<void> handle(SqliteLog::Entry entry) {
    const std::int64_t id = entry.id;
    Delivery delivery{group_.topic, std::move(entry.message), entry.attempt};
    const Verdict verdict = co_await handler_(std::move(delivery));
    held_.erase(id);
    broker_.settle(group_, id, verdict, broker_.pause_after(verdict));
    broker_.dispatch_soon(group_);
    changed_.wake_all();
  }

  SqliteBroker& broker_;
  Group& group_;
  Handler handler_;
  std::size_t at_once_;
  std::set<std::int64_t> held_;
  bool draining_ = false;
  WaitQueue changed_;
  TaskScope scope_;
};

SqliteBroker::SqliteBroker(EventLoop& loop, Options options)
    : loop_(loop), options_(std::move(options)), scope_(loop) {}

SqliteBroker::~SqliteBroker() { *alive_ = false; }

Task<Result<std::shared_ptr<SqliteBroker>>> SqliteBroker::open(EventLoop& loop, Options options, WallClock wall_clock,
                                                               Deadline deadline) {
  std::shared_ptr<SqliteBroker> broker(new SqliteBroker(loop, std::move(options)));
  broker->thread_ = std::make_unique<sdk::BlockingThread>(loop, 64);
  const auto moved_to = std::make_shared<std::string>();
  auto open_log = [path = broker->options_.path, limits = broker->options_.limits, wall_clock, moved_to] {
    return SqliteLog::open(path, limits, wall_clock, *moved_to);
  };
  CO_ASSIGN(broker->log_, co_await broker->thread_->run(std::move(open_log), deadline));
  if (!moved_to->empty()) {
    broker->note_ =
        fmt::format("{} was damaged; it is kept as {}, and an empty one is begun", broker->options_.path, *moved_to);
    log(LogLevel::kError, fmt::format("component '{}': {}", broker->options_.component, broker->note_));
  }
  broker->scope_.spawn(broker->pump());
  co_return broker;
}

Task<Result<void>> SqliteBroker::publish(std::string topic, Message message, Deadline deadline) {
  const std::size_t bytes = size_of(message);
  if (waiting_.size() >= kWaitingLimit || waiting_bytes_ + bytes > kWaitingBytes) {
    co_return Error{Errc::kResourceExhausted, "too many messages wait for the disk"};
  }
  const auto publication = std::make_shared<Publication>();
  publication->append.topic = std::move(topic);
  publication->append.message = std::move(message);
  publication->bytes = bytes;
  waiting_.push_back(publication);
  waiting_bytes_ += bytes;
  work_.wake_all();
  while (!publication->done) {
    const Wake wake = co_await publication->changed.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !publication->done) {
      co_return Error{Errc::kDeadlineExceeded, "the message was not on disk in time"};
    }
  }
  co_return publication->append.result;
}

Task<Result<std::unique_ptr<Subscription>>> SqliteBroker::subscribe(SubscribeOptions options, Handler handler,
                                                                    Deadline deadline) {
  auto join = [log = log_, topic = options.topic, name = options.group] { return log->join(topic, name); };
  CO_ASSIGN(const SqliteLog::GroupId id, co_await thread_->run(std::move(join), deadline));
  Group& group = group_of(id, options.topic);
  std::unique_ptr<Subscription> member = std::make_unique<Member>(*this, group, std::move(handler), options.at_once);
  group.hungry = true;
  dispatch_soon(group);
  work_.wake_all();
  co_return Result<std::unique_ptr<Subscription>>(std::move(member));
}

// --- the one task that talks to the log ---

Task<void> SqliteBroker::pump() {
  while (true) {
    const auto batch = collect();
    if (batch->appends.empty() && batch->settles.empty() && batch->fetches.empty()) {
      co_await work_.wait(loop_, next_moment());
      continue;
    }
    auto carry_out = [log = log_, batch] {
      log->run(*batch);
      return Result<bool>(true);
    };
    const Result<bool> ran = co_await thread_->run(std::move(carry_out), Deadline::never());
    if (!ran) {  // the thread's queue is full: nothing was tried
      batch->result = ran.error();
      for (SqliteLog::Append& append : batch->appends) append.result = ran.error();
    }
    finish(*batch);
  }
}

std::shared_ptr<SqliteLog::Batch> SqliteBroker::collect() {
  auto batch = std::make_shared<SqliteLog::Batch>();
  collect_publications(*batch);
  if (loop_.now() >= not_before_) {
    batch->settles = std::exchange(verdicts_, {});
    collect_fetches(*batch);
  }
  return batch;
}

void SqliteBroker::collect_publications(SqliteLog::Batch& batch) {
  std::size_t bytes = 0;
  while (!waiting_.empty() && batch.appends.size() < kBatchCount && bytes < kBatchBytes) {
    std::shared_ptr<Publication> publication = std::move(waiting_.front());
    waiting_.pop_front();
    bytes += publication->bytes;
    for (auto& [id, group] : groups_) {
      if (group->topic == publication->append.topic) group->hungry = true;
    }
    batch.appends.push_back(std::move(publication->append));
    committing_.push_back(std::move(publication));
  }
}

void SqliteBroker::collect_fetches(SqliteLog::Batch& batch) {
  for (auto& [id, group] : groups_) {
    const bool due = group->next_due && *group->next_due <= loop_.now();
    if (group->members.empty() || !(group->hungry || due)) continue;
    if (group->buffer.size() > options_.queue_depth / 2) continue;
    SqliteLog::Fetch fetch;
    fetch.group = id;
    fetch.limit = options_.queue_depth - group->buffer.size();
    fetch.now = loop_.now();
    group->hungry = false;
    group->next_due.reset();
    batch.fetches.push_back(std::move(fetch));
  }
}

void SqliteBroker::finish(SqliteLog::Batch& batch) {
  for (std::size_t i = 0; i < batch.appends.size(); ++i) {
    committing_[i]->append.result = std::move(batch.appends[i].result);
    waiting_bytes_ -= committing_[i]->bytes;
    committing_[i]->done = true;
    committing_[i]->changed.wake_all();
  }
  committing_.clear();

  note_trouble(batch);
  if (!batch.result) {
    not_before_ = loop_.now() + kPauseAfterFailure;
    verdicts_.insert(verdicts_.begin(), batch.settles.begin(), batch.settles.end());
    for (const SqliteLog::Fetch& fetch : batch.fetches) groups_.at(fetch.group)->hungry = true;
    return;
  }
  unsettled_ -= batch.settles.size();
  if (unsettled_ == 0) settled_.wake_all();
  for (SqliteLog::Fetch& fetch : batch.fetches) {
    Group& group = *groups_.at(fetch.group);
    group.hungry = group.hungry || fetch.more;
    // One that was set meanwhile belongs to a verdict that the log does not know yet.
    if (fetch.next_due && (!group.next_due || *group.next_due > *fetch.next_due)) group.next_due = fetch.next_due;
    for (SqliteLog::Entry& entry : fetch.entries) group.buffer.push_back(std::move(entry));
    if (group.members.empty()) {  // the last one left meanwhile
      for (const SqliteLog::Entry& entry : group.buffer) settle(group, entry.id, Verdict::kGiveBack, Nanos{});
      group.buffer.clear();
    }
    dispatch_soon(group);
  }
}

void SqliteBroker::note_trouble(const SqliteLog::Batch& batch) {
  if (batch.refused) {
    write_trouble_ = batch.refused->message;
  } else if (!batch.appends.empty()) {
    write_trouble_.reset();
  }
  progress_trouble_ = batch.result ? std::nullopt : std::optional<std::string>(batch.result.error().message);
  if (batch.refused || !batch.result) {
    log_limit_.log(LogLevel::kError, fmt::format("component '{}': {}", options_.component, *down_reason()));
  }
}

/// When there is something to do although nobody wakes the pump.
Deadline SqliteBroker::next_moment() const {
  Deadline next = Deadline::never();
  if (not_before_ > loop_.now()) next = Deadline::at(not_before_);
  for (const auto& [id, group] : groups_) {
    const bool room = group->buffer.size() <= options_.queue_depth / 2;
    if (!group->members.empty() && room && group->next_due) next = next.earlier(Deadline::at(*group->next_due));
  }
  // A moment that has passed waits for the failure's pause to end.
  return next.is_never() ? next : std::max(next, Deadline::at(not_before_));
}

// --- groups ---

SqliteBroker::Group& SqliteBroker::group_of(SqliteLog::GroupId id, const std::string& topic) {
  std::unique_ptr<Group>& group = groups_[id];
  if (group == nullptr) {
    group = std::make_unique<Group>();
    group->id = id;
    group->topic = topic;
  }
  return *group;
}

void SqliteBroker::dispatch_soon(Group& group) {
  if (std::exchange(group.dispatching, true)) return;
  loop_.post([this, &group, alive = alive_] {
    if (!*alive) return;
    group.dispatching = false;
    dispatch(group);
  });
}

/// Hands what is in memory to the members in turn, as far as they have room.
void SqliteBroker::dispatch(Group& group) {
  while (!group.buffer.empty()) {
    Member* taker = nullptr;
    for (std::size_t i = 0; i < group.members.size() && taker == nullptr; ++i) {
      Member* const member = group.members[group.next_member++ % group.members.size()];
      if (member->has_room()) taker = member;
    }
    if (taker == nullptr) break;
    SqliteLog::Entry entry = std::move(group.buffer.front());
    group.buffer.pop_front();
    taker->take(std::move(entry));
  }
  if (group.hungry && group.buffer.size() <= options_.queue_depth / 2) work_.wake_all();
}

void SqliteBroker::settle(Group& group, std::int64_t id, Verdict verdict, Nanos pause) {
  SqliteLog::Settle one;
  one.group = group.id;
  one.id = id;
  one.verdict = verdict;
  one.due = pause == Nanos::max() ? Nanos::max() - Nanos(1) : loop_.now() + pause;
  verdicts_.push_back(one);
  ++unsettled_;
  if (verdict != Verdict::kAcknowledge && (!group.next_due || *group.next_due > one.due)) group.next_due = one.due;
  work_.wake_all();
}

Nanos SqliteBroker::pause_after(Verdict verdict) const {
  if (verdict == Verdict::kGiveBack || verdict == Verdict::kRetrySoon) return kGiveBackPause;
  return options_.redeliver_interval.count() == 0 ? Nanos::max() : options_.redeliver_interval;
}

void SqliteBroker::leave(Group& group, Member& member) {
  std::erase(group.members, &member);
  if (!group.members.empty()) {
    dispatch_soon(group);
    return;
  }
  for (const SqliteLog::Entry& entry : group.buffer) settle(group, entry.id, Verdict::kGiveBack, Nanos{});
  group.buffer.clear();
}

Task<void> SqliteBroker::until_settled(Deadline deadline) {
  while (unsettled_ > 0) {
    const Wake wake = co_await settled_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return;
  }
}

}  // namespace caisson::pubsub
