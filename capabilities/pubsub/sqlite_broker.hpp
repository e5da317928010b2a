#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/sqlite_log.hpp"
#include "sdk/blocking_thread.hpp"

namespace caisson::pubsub {

/// `pubsub.sqlite`: the embedded broker. Messages and the progress of every consumer group lie in one
/// file, so that both survive any end of the process; delivery is at least once.
///
/// One transaction carries all that waits at the moment: verdicts, publishes, reads. A publish is
/// acknowledged once its transaction is on disk. The file is exclusive to this process.
class SqliteBroker final : public Broker {
 public:
  struct Options {
    std::string component;
    std::string path;
    SqliteLog::Limits limits;
    /// After a failed delivery; zero: not before the process starts again.
    Nanos redeliver_interval = std::chrono::seconds(15);
    /// Handlers of one subscriber that run at once.
    std::size_t concurrency = 10;
    /// Messages that one consumer group has in memory, waiting for a handler.
    std::size_t queue_depth = 100;
  };
  /// Publishes that wait for the disk; more are refused.
  static constexpr std::size_t kWaitingLimit = 4096;
  static constexpr std::size_t kWaitingBytes = 64 * 1024 * 1024;
  /// A message that nobody could be asked to take comes again after this.
  static constexpr Nanos kGiveBackPause = std::chrono::seconds(1);

  /// Opens the file; kFailedPrecondition while another process holds it.
  static Task<Result<std::shared_ptr<SqliteBroker>>> open(EventLoop& loop, Options options, WallClock wall_clock,
                                                          Deadline deadline);
  ~SqliteBroker() override;

  [[nodiscard]] Features features() const override { return {true, true, false, false}; }
  [[nodiscard]] std::optional<std::string> down_reason() const override {
    return write_trouble_ ? write_trouble_ : progress_trouble_;
  }
  [[nodiscard]] std::string note() const override { return note_; }
  Task<Result<void>> publish(std::string topic, Message message, Deadline deadline) override;
  Task<Result<std::unique_ptr<Subscription>>> subscribe(SubscribeOptions options, Handler handler,
                                                        Deadline deadline) override;

 private:
  class Member;
  struct Group;
  struct Publication;

  SqliteBroker(EventLoop& loop, Options options);

  Task<void> pump();
  [[nodiscard]] std::shared_ptr<SqliteLog::Batch> collect();
  void collect_publications(SqliteLog::Batch& batch);
  void collect_fetches(SqliteLog::Batch& batch);
  void finish(SqliteLog::Batch& batch);
  void note_trouble(const SqliteLog::Batch& batch);
  [[nodiscard]] Deadline next_moment() const;

  [[nodiscard]] Group& group_of(SqliteLog::GroupId id, const std::string& topic);
  void dispatch(Group& group);
  void dispatch_soon(Group& group);
  void settle(Group& group, std::int64_t id, Verdict verdict, Nanos pause);
  void leave(Group& group, Member& member);
  [[nodiscard]] Nanos pause_after(Verdict verdict) const;
  Task<void> until_settled(Deadline deadline);

  EventLoop& loop_;
  Options options_;
  std::optional<std::string> write_trouble_;     // the last publish failed
  std::optional<std::string> progress_trouble_;  // the last verdicts or reads failed
  std::string note_;                             // a damaged file was moved aside
  LogLimit log_limit_;
  std::shared_ptr<SqliteLog> log_;  // used by the thread, dies after it
  std::unique_ptr<sdk::BlockingThread> thread_;

  WaitQueue work_;
  std::deque<std::shared_ptr<Publication>> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::vector<std::shared_ptr<Publication>> committing_;
  std::vector<SqliteLog::Settle> verdicts_;
  std::size_t unsettled_ = 0;  // verdicts that are not on disk
  WaitQueue settled_;
  std::map<SqliteLog::GroupId, std::unique_ptr<Group>> groups_;
  Nanos not_before_{};  // after a failure: when verdicts and reads are tried again
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::pubsub
