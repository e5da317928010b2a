// The part of the consumer's thread that a group speaks to: partitions come and go, positions are kept.

#include <fmt/format.h>

#include <cstring>

#include "capabilities/pubsub/kafka_consumer_thread.hpp"

namespace caisson::pubsub {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kCommitInterval = 100ms;
constexpr int kCommitTimeoutMs = 3000;
constexpr int kStartTimeoutMs = 5000;
/// How long a partition that is taken away waits for the handlers that have messages of it. Heartbeats go
/// on meanwhile; the group waits for this member, so it is not long.
constexpr auto kQuietPatience = 5s;

constexpr int kLastCommitAttempts = 3;
/// How long it counts what was acknowledged and not committed. Not long: a topic may be made anew.
constexpr auto kMemory = 5min;

bool is_cooperative(rd_kafka_t* handle) {
  const char* const protocol = rd_kafka_rebalance_protocol(handle);  // null while the client is closing
  return protocol != nullptr && std::strcmp(protocol, "COOPERATIVE") == 0;
}

}  // namespace

void KafkaConsumer::Thread::on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t what,
                                         rd_kafka_topic_partition_list_t* list, void* self) {
  auto& thread = *static_cast<Thread*>(static_cast<KafkaClient*>(self));
  thread.waiting_since_ = steady_clock::now();
  thread.hand_over();  // the loop is to have what belongs to a partition before it hears that it goes
  if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    thread.assign(list);
  } else if (what == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
    thread.revoke(list);
  } else {
    thread.log_limited(LogLevel::kWarning, fmt::format("rebalancing: {}", rd_kafka_err2str(what)));
    rd_kafka_assign(handle, nullptr);
  }
}

void KafkaConsumer::Thread::assign(rd_kafka_topic_partition_list_t* list) {
  waiting_since_ = Moment::max();
  const bool positioned = set_start(list);
  for (int i = 0; i < list->cnt && positioned; ++i) {
    rd_kafka_topic_partition_t& given = list->elems[i];
    Assigned assigned;
    assigned.shared = std::make_shared<KafkaPartition>(given.topic, given.partition);
    if (resume_where_we_were(given)) assigned.shared->settled_before = given.offset;
    assigned.expected = given.offset;
    assigned_[{given.topic, given.partition}] = std::move(assigned);
    progress_.forget(given.topic, given.partition);
  }
  if (is_cooperative(handle_)) {
    check(rd_kafka_incremental_assign(handle_, list));
  } else {
    check(rd_kafka_assign(handle_, list));
  }
  if (!positioned) fail("the group's position cannot be read");
}

/// Gives each partition the offset to begin at: where the group was, or where it is to begin. A first
/// position is committed at once: otherwise a member that dies before its first commit would begin anew
/// at the newest, behind what it had in hand.
bool KafkaConsumer::Thread::set_start(rd_kafka_topic_partition_list_t* list) {
  if (list->cnt == 0) return true;
  if (rd_kafka_committed(handle_, list, kStartTimeoutMs) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  const PartitionList first(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy);
  for (int i = 0; i < list->cnt; ++i) {
    rd_kafka_topic_partition_t& given = list->elems[i];
    if (given.err != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    if (given.offset >= 0) continue;
    std::int64_t begin = 0;
    std::int64_t end = 0;
    const auto problem =
        rd_kafka_query_watermark_offsets(handle_, given.topic, given.partition, &begin, &end, kStartTimeoutMs);
    if (problem != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    given.offset = options_->from_oldest ? begin : end;
    rd_kafka_topic_partition_list_add(first.get(), given.topic, given.partition)->offset = given.offset;
  }
  return options_->from_oldest || first->cnt == 0 || commit_and_wait(first.get());
}

void KafkaConsumer::Thread::revoke(rd_kafka_topic_partition_list_t* list) {
  const bool lost = rd_kafka_assignment_lost(handle_) != 0;  // others have them already
  std::vector<std::shared_ptr<KafkaPartition>> going;
  const PartitionList paused(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy);
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& taken = list->elems[i];
    const auto found = assigned_.find({taken.topic, taken.partition});
    if (found == assigned_.end()) continue;
    going.push_back(found->second.shared);
    // The pause would outlive the assignment.
    if (going.back()->paused) rd_kafka_topic_partition_list_add(paused.get(), taken.topic, taken.partition);
  }
  if (!going.empty()) {
    gate_->post([revoked = events_.revoked, going] { revoked(going); });
    const bool safe = !lost && commit_the_last(list, going);
    for (const auto& partition : going) {
      if (!safe && partition->settled_before >= 0) {
        uncommitted_[{partition->topic, partition->number}] = {partition->settled_before, steady_clock::now()};
      }
    }
  }
  for (const auto& partition : going) {
    progress_.forget(partition->topic, partition->number);
    assigned_.erase({partition->topic, partition->number});
  }
  if (paused->cnt > 0) rd_kafka_resume_partitions(handle_, paused.get());
  if (is_cooperative(handle_)) {
    check(rd_kafka_incremental_unassign(handle_, list));
  } else {
    check(rd_kafka_assign(handle_, nullptr));
  }
}

/// A library that has other partitions than this thread believes would fetch nothing for some of them, or
/// give what is dropped here.
void KafkaConsumer::Thread::check(rd_kafka_error_t* problem) {
  if (problem == nullptr) return;
  const std::string why = rd_kafka_error_string(problem);
  rd_kafka_error_destroy(problem);
  if (!stopping_) fail(fmt::format("what the group shares out is not taken: {}", why));
}

void KafkaConsumer::Thread::check(rd_kafka_resp_err_t problem) {
  if (problem == RD_KAFKA_RESP_ERR_NO_ERROR || stopping_) return;
  fail(fmt::format("what the group shares out is not taken: {}", rd_kafka_err2str(problem)));
}

/// While members come and go, the group refuses positions under the number of its last arrangement; a
/// moment later it takes them.
bool KafkaConsumer::Thread::commit_the_last(const rd_kafka_topic_partition_list_t* list,
                                            const std::vector<std::shared_ptr<KafkaPartition>>& going) {
  wait_until_quiet(going);
  for (int attempt = 0; attempt < kLastCommitAttempts; ++attempt) {
    const PartitionList commits = collect_commits(list);
    if (commits->cnt == 0 || commit_and_wait(commits.get())) return true;
  }
  return false;
}

/// What this process acknowledged last may not have reached the broker when it lost the partition (the
/// broker was away, the session ran out). It still knows, so the app does not get that again.
bool KafkaConsumer::Thread::resume_where_we_were(rd_kafka_topic_partition_t& given) {
  const auto known = uncommitted_.extract({given.topic, given.partition});
  if (known.empty() || steady_clock::now() - known.mapped().second > kMemory) return false;
  if (known.mapped().first <= given.offset) return false;
  given.offset = known.mapped().first;
  return true;
}

void KafkaConsumer::Thread::wait_until_quiet(const std::vector<std::shared_ptr<KafkaPartition>>& partitions) {
  const auto give_up = steady_clock::now() + kQuietPatience;
  for (const auto& partition : partitions) {
    std::unique_lock lock(mutex_);
    // A consumer that is being closed has no loop to wait for.
    quieter_.wait_until(lock, give_up, [&] { return partition->quiet || stopping_; });
  }
}

// --- positions ---

/// What is settled and not committed, of these partitions or of all.
KafkaConsumer::Thread::PartitionList KafkaConsumer::Thread::collect_commits(const rd_kafka_topic_partition_list_t* of) {
  PartitionList list(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy);
  for (auto& [key, assigned] : assigned_) {
    const std::int64_t settled = assigned.shared->settled_before;
    if (settled < 0 || settled <= assigned.committed) continue;
    if (of != nullptr && rd_kafka_topic_partition_list_find(of, key.first.c_str(), key.second) == nullptr) continue;
    assigned.committed = settled;
    rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = settled;
  }
  return list;
}

void KafkaConsumer::Thread::commit_soon() {
  std::vector<std::function<void()>> waiters;
  {
    const std::lock_guard lock(mutex_);
    waiters.swap(commit_waiters_);
  }
  const auto now = steady_clock::now();
  if (!waiters.empty()) {
    // Also what is on its way already: the waiters want it safe.
    for (auto& [key, assigned] : assigned_) assigned.committed = -1;
    const PartitionList list = collect_commits(nullptr);
    if (list->cnt > 0) commit_and_wait(list.get());
    gate_->post([waiters = std::move(waiters)] {
      for (const auto& done : waiters) done();
    });
    return;
  }
  if (now < next_commit_) return;
  const PartitionList list = collect_commits(nullptr);
  if (list->cnt == 0) return;
  next_commit_ = now + kCommitInterval;
  const auto problem = rd_kafka_commit(handle_, list.get(), 1);
  if (problem != RD_KAFKA_RESP_ERR_NO_ERROR) on_commit(handle_, problem, list.get(), static_cast<KafkaClient*>(this));
}

/// A commit that failed is tried again with the next, while the partition is ours.
void KafkaConsumer::Thread::on_commit(rd_kafka_t*, rd_kafka_resp_err_t problem, rd_kafka_topic_partition_list_t* list,
                                      void* self) {
  auto& thread = *static_cast<Thread*>(static_cast<KafkaClient*>(self));
  if (problem == RD_KAFKA_RESP_ERR__NO_OFFSET || list == nullptr) return;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    const auto why = problem != RD_KAFKA_RESP_ERR_NO_ERROR ? problem : one.err;
    if (why == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    thread.log_limited(LogLevel::kWarning, fmt::format("topic '{}', partition {}: the position is not committed: {}",
                                                       one.topic, one.partition, rd_kafka_err2str(why)));
    const auto found = thread.assigned_.find({one.topic, one.partition});
    if (found != thread.assigned_.end()) found->second.committed = -1;
  }
}

bool KafkaConsumer::Thread::commit_and_wait(const rd_kafka_topic_partition_list_t* list) {
  struct Answer {
    bool came = false;
    bool good = false;
  } answer;
  const auto answered = [](rd_kafka_t* handle, rd_kafka_resp_err_t problem, rd_kafka_topic_partition_list_t* offsets,
                           void* to) {
    auto& answer = *static_cast<Answer*>(to);
    answer.came = true;
    answer.good = problem == RD_KAFKA_RESP_ERR_NO_ERROR;
    on_commit(handle, problem, offsets, rd_kafka_opaque(handle));
  };
  rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_);
  auto problem = rd_kafka_commit_queue(handle_, list, queue, answered, &answer);
  const auto give_up = steady_clock::now() + std::chrono::milliseconds(kCommitTimeoutMs);
  while (problem == RD_KAFKA_RESP_ERR_NO_ERROR && !answer.came && steady_clock::now() < give_up) {
    rd_kafka_queue_poll_callback(queue, 100);
  }
  rd_kafka_queue_destroy(queue);
  return answer.good;
}

}  // namespace caisson::pubsub
