#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/sqlite_database.hpp"

namespace caisson::pubsub {

/// The tables behind `pubsub.sqlite`: one log of messages, and per topic and consumer group how far
/// it has come.
///
///   messages  id, topic, data, metadata (JSON), published_at (Unix milliseconds)
///   groups    id, topic, name, cursor
///   pending   group_id, message_id, attempt, due_at
///
/// A group has settled every message up to its cursor except those in `pending`. Messages that are
/// in hand beyond the cursor are known in memory only: after a crash they are read again. `due_at`
/// is the monotonic clock of the process that wrote it; at open everything pending is due at once.
///
/// A message is deleted when every group of its topic has settled it. Used by one thread, which may
/// block; the database belongs to this process alone.
class SqliteLog {
 public:
  using GroupId = std::int64_t;
  static constexpr Nanos kInHand = Nanos::max();

  struct Limits {
    /// Messages of one topic. At the limit a publish is refused while a group still needs the oldest;
    /// a topic that nobody ever subscribed to loses its oldest instead.
    std::int64_t max_length = 1'000'000;
    /// Older messages are deleted, needed or not; 0: none are.
    std::chrono::milliseconds retention{0};
  };

  struct Append {
    std::string topic;
    Message message;
    Result<void> result = ok();
  };
  struct Settle {
    GroupId group = 0;
    std::int64_t id = 0;
    Verdict verdict = Verdict::kAcknowledge;
    Nanos due{};  // when it comes again
  };
  struct Entry {
    std::int64_t id = 0;
    std::uint32_t attempt = 1;
    Message message;
  };
  struct Fetch {
    GroupId group = 0;
    std::size_t limit = 0;
    Nanos now{};
    std::vector<Entry> entries;
    bool more = false;              // there may be more right now
    std::optional<Nanos> next_due;  // when the next failed one comes again
  };
  /// What is carried out in one transaction: verdicts, then new messages, then reads.
  struct Batch {
    std::vector<Append> appends;
    std::vector<Settle> settles;
    std::vector<Fetch> fetches;
    /// Of the verdicts and the reads; when it failed, neither has happened.
    Result<void> result = ok();
    /// Why the database took none of the appends.
    std::optional<Error> refused;
  };

  /// Opens or creates the file. `moved_to` names where a damaged one was put.
  static Result<std::shared_ptr<SqliteLog>> open(const std::string& path, Limits limits, WallClock wall_clock,
                                                 std::string& moved_to);

  /// The group of that name on that topic; a new one begins at the oldest message there is.
  Result<GroupId> join(const std::string& topic, const std::string& name);
  /// Carries the batch out; its appends are on disk when their result says so. When the database
  /// refuses the appends, the rest is tried without them.
  void run(Batch& batch);

  [[nodiscard]] std::int64_t length(const std::string& topic) const;

 private:
  struct InHand {
    std::uint32_t attempt = 1;
    bool stored = false;  // has a row in `pending`
  };
  struct Group {
    std::string topic;
    std::string name;
    std::int64_t cursor = 0;
    std::int64_t read_to = 0;  // handed out up to here
    std::map<std::int64_t, InHand> in_hand;
  };
  struct Topic {
    std::int64_t length = 0;
    std::int64_t trimmed_to = 0;
    std::set<GroupId> groups;
  };
  /// What a transaction changes in memory, once it is committed.
  struct Effects {
    std::map<std::string, std::int64_t> length_change;
    std::map<std::string, std::int64_t> trimmed_to;
    std::map<GroupId, std::int64_t> cursors;
    std::map<GroupId, std::int64_t> read_to;
    std::map<GroupId, std::map<std::int64_t, InHand>> taken;
    std::map<GroupId, std::set<std::int64_t>> stored;
    std::vector<Settle> settled;
  };

  SqliteLog(sdk::Database database, Limits limits, WallClock wall_clock);
  Result<void> prepare();
  Result<void> load();

  Result<void> transact(Batch& batch, bool with_appends);
  Result<void> settle(const std::vector<Settle>& settles, Effects& effects);
  Result<void> advance(GroupId id, const std::set<std::int64_t>& settled, Effects& effects);
  Result<void> trim(const std::string& topic, Effects& effects);
  Result<void> append(Append& append, Effects& effects);
  Result<void> make_room(const std::string& topic, Effects& effects);
  Result<void> fetch(Fetch& fetch, Effects& effects);
  Result<void> fetch_due(Fetch& fetch, Effects& effects, std::size_t& bytes);
  Result<void> fetch_new(Fetch& fetch, Effects& effects, std::size_t& bytes);
  Result<void> expire();
  void apply(Effects& effects);
  [[nodiscard]] std::int64_t lowest_cursor(const Topic& topic, const Effects& effects) const;
  [[nodiscard]] std::int64_t now_ms() const;

  Limits limits_;
  WallClock wall_clock_;
  std::int64_t next_expiry_ms_ = 0;
  std::map<std::string, Topic> topics_;
  std::map<GroupId, Group> groups_;
  sdk::Database database_;
  // Statements are finalised before the database is closed.
  sdk::Statement insert_message_, delete_message_, delete_oldest_, delete_settled_, delete_old_;
  sdk::Statement insert_group_, update_cursor_;
  sdk::Statement insert_pending_, delete_pending_, take_pending_, select_due_, select_next_due_, select_new_;
};

}  // namespace caisson::pubsub
