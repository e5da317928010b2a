#include "capabilities/pubsub/kafka_consumer_thread.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "capabilities/pubsub/kafka_record.hpp"

namespace caisson::pubsub {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int kPollMs = 1000;
constexpr int kPollWhileDownMs = 100;
/// What is handed to the loop at once.
constexpr std::size_t kBatchCount = 64;
constexpr std::size_t kBatchBytes = 1024 * 1024;
/// One partition's messages in memory, whatever their number.
constexpr std::int64_t kHeldBytes = 8 * 1024 * 1024;
constexpr auto kSupervision = 1s;
/// Between two rounds of asking for the end of partitions, and how many are asked for in one.
constexpr auto kLookInterval = 5s;
constexpr int kLooksInARound = 8;
constexpr int kLookTimeoutMs = 2000;
/// For a topic that does not exist (yet), longer from time to time.
constexpr auto kFirstSearch = 200ms;
constexpr std::chrono::milliseconds kLongestSearch = 15s;
constexpr int kSearchTimeoutMs = 1000;
/// A member that is subscribed and hears nothing from its group, not even that it gets no partition.
constexpr auto kGroupSilence = 120s;

}  // namespace

KafkaConsumer::Thread::Thread(std::shared_ptr<LoopGate> gate, std::shared_ptr<const KafkaOptions> options,
                              std::string group, Events events)
    : KafkaClient(fmt::format("component '{}', group '{}'", options->component, group), std::move(gate)),
      options_(std::move(options)),
      group_(std::move(group)),
      events_(std::move(events)) {
  health_changed = events_.health_changed;
}

KafkaConsumer::Thread::~Thread() {
  if (queue_ != nullptr) rd_kafka_queue_destroy(queue_);
}

// --- on the loop's thread ---

void KafkaConsumer::Thread::set_topics(std::vector<std::string> topics) {
  {
    const std::lock_guard lock(mutex_);
    wanted_topics_ = std::move(topics);
    topics_changed_ = true;
  }
  wake();
}

void KafkaConsumer::Thread::commit_now(std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    commit_waiters_.push_back(std::move(done));
  }
  wake();
}

void KafkaConsumer::Thread::wake() {
  const std::lock_guard lock(mutex_);
  quieter_.notify_all();
  if (queue_ != nullptr) rd_kafka_queue_yield(queue_);
}

void KafkaConsumer::Thread::stop() {
  stopping_ = true;
  wake();
}

// --- on its own ---

void KafkaConsumer::Thread::run() {
  const Result<void> made = make();
  if (!made) {
    fail(made.error().message);
    return;
  }
  while (!stopping_) turn();
  // Gives its partitions back, which commits what is settled, and leaves the group.
  rd_kafka_consumer_close(handle_);
}

Result<void> KafkaConsumer::Thread::make() {
  ASSIGN(Conf conf, make_conf({&options_->client, &options_->consumer}));
  rd_kafka_conf_set(conf.get(), "group.id", group_.c_str(), nullptr, 0);
  rd_kafka_conf_set_rebalance_cb(conf.get(), on_rebalance);
  rd_kafka_conf_set_offset_commit_cb(conf.get(), on_commit);
  TRY(open(RD_KAFKA_CONSUMER, std::move(conf)));
  rd_kafka_poll_set_consumer(handle_);
  const std::lock_guard lock(mutex_);
  queue_ = rd_kafka_queue_get_consumer(handle_);
  return ok();
}

void KafkaConsumer::Thread::turn() {
  apply_topics();
  rd_kafka_message_t* record = rd_kafka_consumer_poll(handle_, poll_timeout());
  while (record != nullptr) {
    take(*record);
    rd_kafka_message_destroy(record);
    if (batch_.size() >= kBatchCount || batch_bytes_ >= kBatchBytes) break;
    record = rd_kafka_consumer_poll(handle_, 0);
  }
  hand_over();
  pause_and_resume();
  commit_soon();
  check_health();
  look_for_missing_topics();
  supervise();
}

void KafkaConsumer::Thread::apply_topics() {
  std::vector<std::string> topics;
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(topics_changed_, false)) return;
    topics = wanted_topics_;
  }
  if (topics == topics_) return;
  topics_ = topics;
  topic_missing_ = false;
  waiting_since_ = steady_clock::now();
  if (topics.empty()) {
    rd_kafka_unsubscribe(handle_);
    return;
  }
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())),
                           rd_kafka_topic_partition_list_destroy);
  for (const std::string& topic : topics) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const auto problem = rd_kafka_subscribe(handle_, list.get());
  if (problem != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_err2str(problem));
}

int KafkaConsumer::Thread::poll_timeout() const {
  if (is_down() || topic_missing_) return kPollWhileDownMs;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_commit_ - steady_clock::now()).count();
  return left > 0 ? static_cast<int>(std::min<std::int64_t>(left, kPollMs)) : kPollMs;
}

void KafkaConsumer::Thread::hand_over() {
  if (batch_.empty()) return;
  const auto records = std::make_shared<std::vector<KafkaRecord>>(std::exchange(batch_, {}));
  batch_bytes_ = 0;
  gate_->post([received = events_.received, records] { received(std::move(*records)); });
}

void KafkaConsumer::Thread::take(const rd_kafka_message_t& record) {
  const auto found =
      record.rkt == nullptr ? assigned_.end() : assigned_.find({rd_kafka_topic_name(record.rkt), record.partition});
  if (record.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    if (found != assigned_.end()) found->second.expected = record.offset;
    return;
  }
  if (record.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    note_problem(record);
    return;
  }
  if (found == assigned_.end()) return;  // not ours any more: another member gets it
  Assigned& assigned = found->second;
  KafkaPartition& partition = *assigned.shared;
  KafkaRecord taken{assigned.shared, record.offset, record.len + record.key_len + 256, message_of(record, *options_)};
  assigned.expected = record.offset + 1;
  partition.held += 1;
  partition.held_bytes += static_cast<std::int64_t>(taken.bytes);
  batch_bytes_ += taken.bytes;
  batch_.push_back(std::move(taken));
}

void KafkaConsumer::Thread::note_problem(const rd_kafka_message_t& problem) {
  std::string text = rd_kafka_message_errstr(&problem);
  if (problem.rkt != nullptr) text = fmt::format("topic '{}': {}", rd_kafka_topic_name(problem.rkt), text);
  switch (problem.err) {
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
      set_trouble(std::move(text));
      return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      if (!std::exchange(topic_missing_, true)) missing_pause_ = kFirstSearch;
      next_search_ = steady_clock::now() + missing_pause_;
      [[fallthrough]];
    default:
      log_limited(LogLevel::kWarning, text);
  }
}

/// Back-pressure: librdkafka goes on polling and heartbeating, it just fetches no more of a partition.
void KafkaConsumer::Thread::pause_and_resume() {
  const auto window = static_cast<std::int64_t>(options_->window);
  const PartitionList pausing(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy);
  const PartitionList resuming(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy);
  for (auto& [key, assigned] : assigned_) {
    KafkaPartition& partition = *assigned.shared;
    const bool full = partition.held >= window || partition.held_bytes >= kHeldBytes || partition.crowded;
    const bool room = partition.held <= window / 2 && partition.held_bytes <= kHeldBytes / 2 && !partition.crowded;
    if (!(partition.paused ? room : full)) continue;
    rd_kafka_topic_partition_list_add(partition.paused ? resuming.get() : pausing.get(), partition.topic.c_str(),
                                      partition.number);
    partition.paused = !partition.paused;
  }
  if (pausing->cnt > 0) rd_kafka_pause_partitions(handle_, pausing.get());
  if (resuming->cnt > 0) rd_kafka_resume_partitions(handle_, resuming.get());
}

/// The library would see a new topic with the next regular refresh only, which may be minutes away: most
/// topics that are missing were created because they were asked for.
void KafkaConsumer::Thread::look_for_missing_topics() {
  const auto now = steady_clock::now();
  if (!topic_missing_ || is_down() || now < next_search_) return;
  missing_pause_ = std::min(missing_pause_ * 2, kLongestSearch);
  next_search_ = now + missing_pause_;
  const struct rd_kafka_metadata* all = nullptr;  // of all topics: only that makes the group look, too
  if (rd_kafka_metadata(handle_, 1, nullptr, &all, kSearchTimeoutMs) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  std::set<std::string_view> there;
  for (int i = 0; i < all->topic_cnt; ++i) {
    if (all->topics[i].partition_cnt > 0) there.insert(all->topics[i].topic);
  }
  topic_missing_ = !std::ranges::all_of(topics_, [&there](const std::string& topic) { return there.contains(topic); });
  rd_kafka_metadata_destroy(all);
}

// --- never silently stopped ---

void KafkaConsumer::Thread::supervise() {
  const auto now = steady_clock::now();
  if (now < next_supervision_) return;
  next_supervision_ = now + kSupervision;
  if (has_failed()) fail("it cannot go on");
  if (is_down() || topics_.empty()) {
    waiting_since_ = std::max(waiting_since_, now);
    return;
  }
  if (assigned_.empty() && now - kGroupSilence > waiting_since_) {
    fail("the group does not answer");
    return;
  }
  if (now - last_look_ >= kLookInterval) {
    last_look_ = now;
    const int looks = std::min(kLooksInARound, static_cast<int>(assigned_.size()));
    for (int i = 0; i < looks && steady_clock::now() - now < kSupervision; ++i) look_at_next_partition();
  }
}

/// In turns, because each question may take its time.
void KafkaConsumer::Thread::look_at_next_partition() {
  if (assigned_.empty()) return;
  auto next = assigned_.upper_bound(looked_at_);
  if (next == assigned_.end()) next = assigned_.begin();
  looked_at_ = next->first;
  const Assigned& assigned = next->second;
  const KafkaPartition& partition = *assigned.shared;
  KafkaProgress::Look look;
  look.expected = std::max<std::int64_t>(assigned.expected, 0);
  look.busy = partition.held > 0 || partition.paused;
  if (!look.busy) {
    std::int64_t begin = 0;
    const auto problem = rd_kafka_query_watermark_offsets(handle_, partition.topic.c_str(), partition.number, &begin,
                                                          &look.end, kLookTimeoutMs);
    if (problem != RD_KAFKA_RESP_ERR_NO_ERROR) return;  // health notices what is wrong with the broker
    look.expected = std::max(look.expected, begin);
  }
  if (!progress_.is_stuck(partition.topic, partition.number, look)) return;
  fail(fmt::format("topic '{}', partition {}: {} messages lie there and none comes", partition.topic, partition.number,
                   look.end - look.expected));
}

void KafkaConsumer::Thread::fail(std::string reason) {
  if (std::exchange(failed_, true)) return;
  gate_->post([failed = events_.failed, reason = std::move(reason)] { failed(reason); });
}

}  // namespace caisson::pubsub
