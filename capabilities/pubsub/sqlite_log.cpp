#include "capabilities/pubsub/sqlite_log.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/log.hpp"
#include "capabilities/pubsub/json_value.hpp"

namespace caisson::pubsub {

namespace {

/// Bytes that one read takes into memory at most (and always one message).
constexpr std::size_t kReadBytes = 4 * 1024 * 1024;
constexpr std::int64_t kExpiryEveryMs = 60'000;

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, data BLOB NOT NULL, metadata TEXT NOT NULL,
  published_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_topic ON messages (topic, id);
CREATE TABLE IF NOT EXISTS groups (
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, name TEXT NOT NULL, cursor INTEGER NOT NULL, UNIQUE (topic, name));
CREATE TABLE IF NOT EXISTS pending (
  group_id INTEGER NOT NULL, message_id INTEGER NOT NULL, attempt INTEGER NOT NULL, due_at INTEGER NOT NULL,
  PRIMARY KEY (group_id, message_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pending_by_message ON pending (message_id);
CREATE INDEX IF NOT EXISTS pending_by_due ON pending (group_id, due_at);
UPDATE pending SET due_at = 0;
)";

std::string metadata_to_json(const MessageMetadata& metadata) {
  JsonWriter json;
  json.begin_object();
  for (const auto& [name, value] : metadata) json.key(name).value(value);
  json.end_object();
  return json.take();
}

MessageMetadata metadata_from_json(std::string_view text) {
  MessageMetadata metadata;
  if (const auto parsed = parse_json(text)) {
    for (const auto& [name, value] : parsed->members) metadata.emplace(name, value.text);
  }
  return metadata;
}

}  // namespace

SqliteLog::SqliteLog(sdk::Database database, Limits limits, WallClock wall_clock)
    : limits_(limits), wall_clock_(std::move(wall_clock)), database_(std::move(database)) {}

Result<std::shared_ptr<SqliteLog>> SqliteLog::open(const std::string& path, Limits limits, WallClock wall_clock,
                                                   std::string& moved_to) {
  ASSIGN(sdk::Database database, sdk::Database::open(path, moved_to));
  std::shared_ptr<SqliteLog> log(new SqliteLog(std::move(database), limits, std::move(wall_clock)));
  TRY(log->prepare());
  TRY(log->load());
  return log;
}

Result<void> SqliteLog::prepare() {
  TRY(database_.execute(kSchema));
  const auto prepare_one = [this](sdk::Statement& statement, std::string_view sql) -> Result<void> {
    ASSIGN(statement, database_.prepare(sql));
    return ok();
  };
  TRY(prepare_one(insert_message_, "INSERT INTO messages (topic, data, metadata, published_at) VALUES (?, ?, ?, ?)"));
  TRY(prepare_one(delete_message_,
                  "DELETE FROM messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM pending WHERE message_id = ?1)"));
  TRY(prepare_one(delete_oldest_, "DELETE FROM messages WHERE id = (SELECT MIN(id) FROM messages WHERE topic = ?)"));
  TRY(prepare_one(delete_settled_,
                  "DELETE FROM messages WHERE topic = ? AND id > ? AND id <= ? "
                  "AND NOT EXISTS (SELECT 1 FROM pending WHERE message_id = messages.id)"));
  // The oldest come first in the index, so the search ends at the first one that is young enough.
  TRY(prepare_one(delete_old_,
                  "DELETE FROM messages WHERE topic = ?1 AND id < COALESCE((SELECT id FROM messages "
                  "WHERE topic = ?1 AND published_at >= ?2 ORDER BY id LIMIT 1), 9223372036854775807)"));
  TRY(prepare_one(insert_group_, "INSERT INTO groups (topic, name, cursor) VALUES (?, ?, 0)"));
  TRY(prepare_one(update_cursor_, "UPDATE groups SET cursor = ? WHERE id = ?"));
  TRY(prepare_one(insert_pending_,
                  "INSERT OR REPLACE INTO pending (group_id, message_id, attempt, due_at) VALUES (?, ?, ?, ?)"));
  TRY(prepare_one(delete_pending_, "DELETE FROM pending WHERE group_id = ? AND message_id = ?"));
  TRY(prepare_one(take_pending_, "UPDATE pending SET due_at = ? WHERE group_id = ? AND message_id = ?"));
  TRY(prepare_one(select_due_,
                  "SELECT p.message_id, p.attempt, m.data, m.metadata, m.id FROM pending p "
                  "LEFT JOIN messages m ON m.id = p.message_id "
                  "WHERE p.group_id = ? AND p.due_at <= ? ORDER BY p.message_id LIMIT ?"));
  TRY(prepare_one(select_next_due_,
                  "SELECT MIN(due_at) FROM pending WHERE group_id = ? AND due_at < 9223372036854775807"));
  TRY(prepare_one(select_new_,
                  "SELECT id, data, metadata FROM messages WHERE topic = ? AND id > ? ORDER BY id LIMIT ?"));
  return ok();
}

Result<void> SqliteLog::load() {
  ASSIGN(sdk::Statement lengths, database_.prepare("SELECT topic, COUNT(*) FROM messages GROUP BY topic"));
  while (true) {
    ASSIGN(const bool row, lengths.step());
    if (!row) break;
    topics_[std::string(lengths.bytes(0))].length = lengths.number(1);
  }
  ASSIGN(sdk::Statement groups, database_.prepare("SELECT id, topic, name, cursor FROM groups"));
  while (true) {
    ASSIGN(const bool row, groups.step());
    if (!row) break;
    Group group;
    group.topic = groups.bytes(1);
    group.name = groups.bytes(2);
    group.cursor = group.read_to = groups.number(3);
    topics_[group.topic].groups.insert(groups.number(0));
    groups_.emplace(groups.number(0), std::move(group));
  }
  return ok();
}

Result<SqliteLog::GroupId> SqliteLog::join(const std::string& topic, const std::string& name) {
  Topic& known = topics_[topic];
  for (const GroupId id : known.groups) {
    if (groups_.at(id).name == name) return id;
  }
  insert_group_.bind(1, topic).bind(2, name);
  TRY(insert_group_.run());
  const GroupId id = database_.last_id();
  Group group;
  group.topic = topic;
  group.name = name;
  groups_.emplace(id, std::move(group));
  known.groups.insert(id);
  known.trimmed_to = 0;  // what is left below belongs to the new group as well
  return id;
}

void SqliteLog::run(Batch& batch) {
  batch.result = transact(batch, true);
  if (batch.result || batch.appends.empty()) return;
  batch.refused = batch.result.error();
  for (Append& append : batch.appends) append.result = *batch.refused;
  for (Fetch& fetch : batch.fetches) fetch.entries.clear();
  batch.result = transact(batch, false);
}

Result<void> SqliteLog::transact(Batch& batch, bool with_appends) {
  Effects effects;
  const auto body = [&]() -> Result<void> {
    TRY(database_.execute("BEGIN IMMEDIATE"));
    TRY(settle(batch.settles, effects));
    if (with_appends) {
      for (Append& one : batch.appends) TRY(append(one, effects));
    }
    for (Fetch& one : batch.fetches) TRY(fetch(one, effects));
    return database_.execute("COMMIT");
  };
  Result<void> result = body();
  if (!result) {
    if (database_.in_transaction()) {
      [[maybe_unused]] const auto rolled_back = database_.execute("ROLLBACK");
    }
    return result;
  }
  apply(effects);
  if (limits_.retention.count() > 0 && now_ms() >= next_expiry_ms_) {
    // The batch is committed whatever becomes of this; the next minute tries again.
    if (const auto expired = expire(); !expired) log(LogLevel::kWarning, "retention: " + expired.error().message);
  }
  return result;
}

// --- verdicts ---

Result<void> SqliteLog::settle(const std::vector<Settle>& settles, Effects& effects) {
  std::map<GroupId, std::set<std::int64_t>> settled;
  for (const Settle& one : settles) {
    const Group& group = groups_.at(one.group);
    const auto held = group.in_hand.find(one.id);
    if (held == group.in_hand.end()) continue;
    if (one.verdict == Verdict::kAcknowledge) {
      if (held->second.stored) {
        delete_pending_.bind(1, one.group).bind(2, one.id);
        TRY(delete_pending_.run());
      }
    } else {
      const std::uint32_t attempts = held->second.attempt - (one.verdict == Verdict::kGiveBack ? 1 : 0);
      insert_pending_.bind(1, one.group).bind(2, one.id).bind(3, std::int64_t{attempts}).bind(4, one.due.count());
      TRY(insert_pending_.run());
    }
    settled[one.group].insert(one.id);
    effects.settled.push_back(one);
  }
  std::set<std::string> topics;
  for (const auto& [id, ids] : settled) {
    TRY(advance(id, ids, effects));
    topics.insert(groups_.at(id).topic);
  }
  for (const std::string& topic : topics) TRY(trim(topic, effects));
  return ok();
}

/// Moves the cursor to the highest settled message; those below that are still in hand get a row.
Result<void> SqliteLog::advance(GroupId id, const std::set<std::int64_t>& settled, Effects& effects) {
  const Group& group = groups_.at(id);
  const std::int64_t cursor = std::max(group.cursor, *settled.rbegin());
  if (cursor == group.cursor) return ok();
  for (const auto& [message, held] : group.in_hand) {
    if (message > cursor) break;
    if (held.stored || settled.contains(message)) continue;
    insert_pending_.bind(1, id).bind(2, message).bind(3, std::int64_t{held.attempt}).bind(4, kInHand.count());
    TRY(insert_pending_.run());
    effects.stored[id].insert(message);
  }
  update_cursor_.bind(1, cursor).bind(2, id);
  TRY(update_cursor_.run());
  effects.cursors[id] = cursor;
  return ok();
}

std::int64_t SqliteLog::lowest_cursor(const Topic& topic, const Effects& effects) const {
  std::int64_t lowest = std::numeric_limits<std::int64_t>::max();
  for (const GroupId id : topic.groups) {
    const auto moved = effects.cursors.find(id);
    lowest = std::min(lowest, moved != effects.cursors.end() ? moved->second : groups_.at(id).cursor);
  }
  return lowest;
}

/// Deletes what every group of the topic has settled.
Result<void> SqliteLog::trim(const std::string& topic, Effects& effects) {
  const Topic& known = topics_.at(topic);
  const std::int64_t lowest = lowest_cursor(known, effects);
  std::int64_t& length = effects.length_change[topic];
  if (lowest > known.trimmed_to) {
    delete_settled_.bind(1, topic).bind(2, known.trimmed_to).bind(3, lowest);
    TRY(delete_settled_.run());
    length -= database_.changes();
    effects.trimmed_to[topic] = lowest;
  }
  // Late ones, below what was trimmed before: somebody's failed messages until now.
  for (const Settle& one : effects.settled) {
    if (one.verdict != Verdict::kAcknowledge || one.id > known.trimmed_to || one.id > lowest) continue;
    if (groups_.at(one.group).topic != topic) continue;
    delete_message_.bind(1, one.id);
    TRY(delete_message_.run());
    length -= database_.changes();
  }
  return ok();
}

// --- new messages ---

Result<void> SqliteLog::append(Append& append, Effects& effects) {
  append.result = make_room(append.topic, effects);
  if (!append.result) {
    return database_.in_transaction() && append.result.error().code == Errc::kResourceExhausted ? ok() : append.result;
  }
  const std::string metadata = metadata_to_json(append.message.metadata);
  insert_message_.bind(1, append.topic).bind_blob(2, append.message.data).bind(3, metadata).bind(4, now_ms());
  append.result = insert_message_.run();
  if (append.result) {
    ++effects.length_change[append.topic];
    return ok();
  }
  // A message too big for a row is its own publisher's trouble; anything else is everybody's.
  const bool its_own = database_.in_transaction() && append.result.error().code == Errc::kInvalidArgument;
  return its_own ? ok() : append.result;
}

Result<void> SqliteLog::make_room(const std::string& topic, Effects& effects) {
  const Topic& known = topics_[topic];
  const std::int64_t length = known.length + effects.length_change[topic];
  if (length < limits_.max_length) return ok();
  if (known.groups.empty()) {
    delete_oldest_.bind(1, topic);
    TRY(delete_oldest_.run());
    effects.length_change[topic] -= database_.changes();
    return ok();
  }
  const auto slowest = std::ranges::min_element(known.groups, {}, [this](GroupId id) { return groups_.at(id).cursor; });
  return Error{Errc::kResourceExhausted,
               fmt::format("topic '{}' holds {} messages, its limit (maxLenApprox); consumer group '{}' has not "
                           "acknowledged the oldest",
                           topic, length, groups_.at(*slowest).name)};
}

// --- reads ---

Result<void> SqliteLog::fetch(Fetch& fetch, Effects& effects) {
  std::size_t bytes = 0;
  TRY(fetch_due(fetch, effects, bytes));
  if (!fetch.more) TRY(fetch_new(fetch, effects, bytes));
  select_next_due_.bind(1, fetch.group);
  ASSIGN(const bool row, select_next_due_.step());
  if (row && !select_next_due_.is_null(0)) fetch.next_due = Nanos(select_next_due_.number(0));
  select_next_due_.reset();
  return ok();
}

/// Those that failed before and whose time has come.
Result<void> SqliteLog::fetch_due(Fetch& fetch, Effects& effects, std::size_t& bytes) {
  std::vector<std::int64_t> vanished;
  select_due_.bind(1, fetch.group).bind(2, fetch.now.count()).bind(3, static_cast<std::int64_t>(fetch.limit));
  fetch.more = false;
  while (true) {
    ASSIGN(const bool row, select_due_.step());
    if (!row) break;
    if (select_due_.is_null(4)) {
      vanished.push_back(select_due_.number(0));
      continue;
    }
    Entry entry;
    entry.id = select_due_.number(0);
    entry.attempt = static_cast<std::uint32_t>(select_due_.number(1)) + 1;
    entry.message.data = select_due_.bytes(2);
    entry.message.metadata = metadata_from_json(select_due_.bytes(3));
    bytes += entry.message.data.size();
    effects.taken[fetch.group][entry.id] = InHand{entry.attempt, true};
    fetch.entries.push_back(std::move(entry));
    if (bytes >= kReadBytes) break;
  }
  select_due_.reset();
  fetch.more = bytes >= kReadBytes || fetch.entries.size() + vanished.size() >= fetch.limit;
  for (const Entry& entry : fetch.entries) {
    take_pending_.bind(1, kInHand.count()).bind(2, fetch.group).bind(3, entry.id);
    TRY(take_pending_.run());
  }
  for (const std::int64_t id : vanished) {  // deleted by age
    delete_pending_.bind(1, fetch.group).bind(2, id);
    TRY(delete_pending_.run());
  }
  return ok();
}

Result<void> SqliteLog::fetch_new(Fetch& fetch, Effects& effects, std::size_t& bytes) {
  const Group& group = groups_.at(fetch.group);
  const std::size_t room = fetch.limit - fetch.entries.size();
  std::size_t count = 0;
  select_new_.bind(1, group.topic).bind(2, group.read_to).bind(3, static_cast<std::int64_t>(room));
  while (count < room && bytes < kReadBytes) {
    ASSIGN(const bool row, select_new_.step());
    if (!row) break;
    Entry entry;
    entry.id = select_new_.number(0);
    entry.message.data = select_new_.bytes(1);
    entry.message.metadata = metadata_from_json(select_new_.bytes(2));
    bytes += entry.message.data.size();
    effects.taken[fetch.group][entry.id] = InHand{1, false};
    effects.read_to[fetch.group] = entry.id;
    fetch.entries.push_back(std::move(entry));
    ++count;
  }
  select_new_.reset();
  fetch.more = bytes >= kReadBytes || count >= room;
  return ok();
}

// --- age ---

Result<void> SqliteLog::expire() {
  next_expiry_ms_ = now_ms() + kExpiryEveryMs;
  const std::int64_t oldest = now_ms() - limits_.retention.count();
  for (auto& [name, topic] : topics_) {
    delete_old_.bind(1, name).bind(2, oldest);
    TRY(delete_old_.run());
    const int deleted = database_.changes();
    if (deleted == 0) continue;
    topic.length -= deleted;
    if (!topic.groups.empty()) {
      log(LogLevel::kWarning, fmt::format("topic '{}': {} messages were older than the retention and are deleted, "
                                          "though not every consumer group has acknowledged them",
                                          name, deleted));
    }
  }
  return ok();
}

void SqliteLog::apply(Effects& effects) {
  for (const auto& [topic, change] : effects.length_change) topics_[topic].length += change;
  for (const auto& [topic, id] : effects.trimmed_to) topics_[topic].trimmed_to = id;
  for (const auto& [group, cursor] : effects.cursors) groups_.at(group).cursor = cursor;
  for (const auto& [group, id] : effects.read_to) groups_.at(group).read_to = id;
  for (const Settle& one : effects.settled) groups_.at(one.group).in_hand.erase(one.id);
  for (const auto& [group, ids] : effects.stored) {
    for (const std::int64_t id : ids) groups_.at(group).in_hand.at(id).stored = true;
  }
  for (auto& [group, taken] : effects.taken) groups_.at(group).in_hand.merge(taken);
}

std::int64_t SqliteLog::length(const std::string& topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? 0 : found->second.length;
}

std::int64_t SqliteLog::now_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(wall_clock_().time_since_epoch()).count();
}

}  // namespace caisson::pubsub
