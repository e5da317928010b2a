#include "capabilities/pubsub/kafka_group.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "bus/log.hpp"
#include "bus/task_scope.hpp"

namespace caisson::pubsub {

namespace {

constexpr Nanos kFirstRestart = std::chrono::seconds(1);
constexpr Nanos kLongestRestart = std::chrono::minutes(5);

}  // namespace

/// One partition's messages.
struct KafkaGroup::Lane {
  std::shared_ptr<KafkaPartition> partition;
  Topic* topic = nullptr;
  KafkaWindow window;
  std::map<std::int64_t, std::size_t> sizes;  // of what is not done
  bool revoked = false;
};

struct KafkaGroup::Topic {
  std::string name;
  std::map<std::int32_t, std::shared_ptr<Lane>> lanes;
  std::vector<Member*> members;
  std::size_t next_member = 0;
  std::int32_t next_lane = 0;
  bool dispatching = false;
};

/// One subscriber: runs handlers for what its group has in memory.
class KafkaGroup::Member final : public Subscription {
 public:
  Member(KafkaGroup& group, Topic& topic, Handler handler)
      : group_(group), topic_(topic), handler_(std::move(handler)), scope_(group.loop_) {
    topic_.members.push_back(this);
  }

  ~Member() override {
    for (const auto& [lane, offset] : std::exchange(held_, {})) {
      group_.settle(*lane, offset, Verdict::kGiveBack, Nanos::zero());
    }
    group_.leave(topic_, *this);
  }

  [[nodiscard]] bool has_room() const {
    // In order, each partition has one message with a handler; how many partitions there are is the limit.
    return !draining_ && (group_.options_->in_order || held_.size() < group_.options_->concurrency);
  }

  void take(std::shared_ptr<Lane> lane, std::int64_t offset) {
    held_.emplace(lane, offset);
    const KafkaWindow::Entry& entry = lane->window.at(offset);
    Delivery delivery{topic_.name, entry.message, entry.attempt};
    scope_.spawn(handle(std::move(lane), offset, std::move(delivery)));
  }

  Task<void> drain(Deadline deadline) override {
    draining_ = true;
    while (!held_.empty()) {
      const Wake wake = co_await changed_.wait(group_.loop_, deadline);
      if (wake == Wake::kDeadline) co_return;
    }
    auto committed = group_.until_committed(deadline);
    co_await std::move(committed);
  }

 private:
  Task<void> handle(std::shared_ptr<Lane> lane, std::int64_t offset, Delivery delivery) {
    const std::uint32_t attempt = delivery.attempt;
    auto handling = handler_(std::move(delivery));
    const Verdict verdict = co_await std::move(handling);
    held_.erase({lane, offset});
    group_.settle(*lane, offset, verdict, group_.pause_after(verdict, attempt));
    changed_.wake_all();
  }

  KafkaGroup& group_;
  Topic& topic_;
  Handler handler_;
  std::set<std::pair<std::shared_ptr<Lane>, std::int64_t>> held_;
  bool draining_ = false;
  WaitQueue changed_;
  TaskScope scope_;
};

KafkaGroup::KafkaGroup(EventLoop& loop, KafkaThreads& threads, std::shared_ptr<const KafkaOptions> options,
                       std::string name, Events events)
    : loop_(loop),
      threads_(threads),
      options_(std::move(options)),
      name_(std::move(name)),
      events_(std::move(events)),
      restart_pause_(kFirstRestart),
      retry_timer_(loop, [this] { due(); }),
      restart_timer_(loop, [this] { start_consumer(); }),
      linger_timer_(loop, [this] {
        consumer_.reset();
        trouble_.reset();
        events_.changed();
      }) {}

KafkaGroup::~KafkaGroup() { *alive_ = false; }

std::unique_ptr<Subscription> KafkaGroup::subscribe(const std::string& topic, Handler handler) {
  std::unique_ptr<Topic>& of = topics_[topic];
  if (of == nullptr) {
    of = std::make_unique<Topic>();
    of->name = topic;
  }
  auto member = std::make_unique<Member>(*this, *of, std::move(handler));
  topics_changed_soon();
  dispatch_soon(*of);
  return member;
}

void KafkaGroup::leave(Topic& topic, Member& member) {
  std::erase(topic.members, &member);
  topics_changed_soon();
  dispatch_soon(topic);
}

// --- the consumer ---

/// Once for all that come and go in a turn: every change of the topics has the group share out anew.
void KafkaGroup::topics_changed_soon() {
  if (std::exchange(topics_changing_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    topics_changing_ = false;
    topics_changed();
  });
}

void KafkaGroup::topics_changed() {
  std::vector<std::string> topics;
  for (const auto& [name, topic] : topics_) {
    if (!topic->members.empty()) topics.push_back(name);
  }
  if (consumer_ == nullptr) {
    if (!topics.empty() && !restart_timer_.started()) start_consumer();
    return;
  }
  if (topics.empty()) {
    linger_timer_.start_after(kLinger);
  } else {
    linger_timer_.cancel();
  }
  consumer_->set_topics(std::move(topics));
}

void KafkaGroup::start_consumer() {
  // The consumer calls only while it exists, and it goes before this does.
  KafkaConsumer::Events events;
  events.received = [this](std::vector<KafkaRecord> records) { received(std::move(records)); };
  events.revoked = [this](const auto& partitions) { revoked(partitions); };
  events.health_changed = [this](std::optional<std::string> trouble) {
    trouble_ = std::move(trouble);
    events_.changed();
  };
  events.failed = [this](const std::string& why) { give_up_consumer(why); };
  consumer_ = std::make_unique<KafkaConsumer>(loop_, threads_, options_, name_, std::move(events));
  topics_changed();
}

void KafkaGroup::give_up_consumer(const std::string& why) {
  trouble_ = fmt::format("group '{}': the consumer is made anew: {}", name_, why);
  log_limit_.log(LogLevel::kError, fmt::format("component '{}', {}", options_->component, *trouble_));
  consumer_.reset();
  for (const auto& [name, topic] : topics_) {
    while (!topic->lanes.empty()) close_lane(topic->lanes.begin()->second->partition);
  }
  restart_timer_.start_after(restart_pause_);
  restart_pause_ = std::min(restart_pause_ * 2, kLongestRestart);
  events_.recreated();
  events_.changed();
}

void KafkaGroup::received(std::vector<KafkaRecord> records) {
  restart_pause_ = kFirstRestart;
  std::set<Topic*> touched;
  for (KafkaRecord& record : records) {
    KafkaPartition& partition = *record.partition;
    std::unique_ptr<Topic>& topic = topics_[partition.topic];
    if (topic == nullptr) {
      topic = std::make_unique<Topic>();
      topic->name = partition.topic;
    }
    std::shared_ptr<Lane>& lane = topic->lanes[partition.number];
    if (lane == nullptr || lane->partition != record.partition) {
      if (lane != nullptr) close_lane(lane->partition);
      std::shared_ptr<Lane>& fresh = topic->lanes[partition.number];
      fresh = std::make_shared<Lane>();
      fresh->partition = record.partition;
      fresh->topic = topic.get();
    }
    Lane& into = *topic->lanes[partition.number];
    if (into.window.add(record.offset, std::move(record.message))) {
      into.sizes[record.offset] = record.bytes;
    } else {  // fetched a second time
      partition.held -= 1;
      partition.held_bytes -= static_cast<std::int64_t>(record.bytes);
    }
    touched.insert(topic.get());
  }
  for (Topic* const topic : touched) dispatch_soon(*topic);
}

void KafkaGroup::revoked(const std::vector<std::shared_ptr<KafkaPartition>>& partitions) {
  for (const auto& partition : partitions) close_lane(partition);
}

/// Whoever has the partition next gets what is not settled.
void KafkaGroup::close_lane(std::shared_ptr<KafkaPartition> partition) {
  const auto topic = topics_.find(partition->topic);
  const auto found =
      topic == topics_.end() ? decltype(topic->second->lanes.find(0)){} : topic->second->lanes.find(partition->number);
  const bool known =
      topic != topics_.end() && found != topic->second->lanes.end() && found->second->partition == partition;
  bool quiet = true;
  if (known) {
    const std::shared_ptr<Lane> lane = found->second;
    topic->second->lanes.erase(found);
    lane->revoked = true;
    lane->window.drop_waiting();
    quiet = lane->window.running() == 0;  // else settle() says so
  }
  if (!quiet) return;
  partition->quiet = true;
  if (consumer_ != nullptr) consumer_->wake();
}

Task<void> KafkaGroup::until_committed(Deadline deadline) {
  if (consumer_ == nullptr) co_return;
  struct State {
    bool done = false;
    WaitQueue changed;
  };
  const auto state = std::make_shared<State>();
  std::function<void()> committed = [state] {
    state->done = true;
    state->changed.wake_all();
  };
  consumer_->commit_now(std::move(committed));
  while (!state->done) {
    const Wake wake = co_await state->changed.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return;
  }
}

// --- messages ---

void KafkaGroup::dispatch_soon(Topic& topic) {
  if (std::exchange(topic.dispatching, true)) return;
  loop_.post([this, &topic, alive = alive_] {
    if (!*alive) return;
    topic.dispatching = false;
    dispatch(topic);
  });
}

/// Hands messages to the members in turn, from the partitions in turn, as far as there is room.
void KafkaGroup::dispatch(Topic& topic) {
  std::size_t idle = 0;
  while (idle < topic.lanes.size()) {
    auto turn = topic.lanes.lower_bound(topic.next_lane);
    if (turn == topic.lanes.end()) turn = topic.lanes.begin();
    topic.next_lane = turn->first + 1;
    Member* const taker = next_taker(topic);
    if (taker == nullptr) break;
    const std::shared_ptr<Lane> lane = turn->second;
    const auto offset = lane->window.take(loop_.now(), options_->in_order);
    if (!offset) {
      ++idle;
      continue;
    }
    idle = 0;
    topic.next_member = (topic.next_member + 1) % topic.members.size();
    taker->take(lane, *offset);  // may change the lanes and the members
  }
  set_timer();
}

KafkaGroup::Member* KafkaGroup::next_taker(Topic& topic) const {
  for (std::size_t i = 0; i < topic.members.size(); ++i) {
    const std::size_t index = (topic.next_member + i) % topic.members.size();
    if (!topic.members[index]->has_room()) continue;
    topic.next_member = index;
    return topic.members[index];
  }
  return nullptr;
}

void KafkaGroup::settle(Lane& lane, std::int64_t offset, Verdict verdict, Nanos pause) {
  KafkaPartition& partition = *lane.partition;
  if (verdict == Verdict::kAcknowledge) {
    const auto size = lane.sizes.find(offset);
    partition.held -= 1;
    partition.held_bytes -= static_cast<std::int64_t>(size->second);
    lane.sizes.erase(size);
    lane.window.finish(offset);
    if (const auto before = lane.window.settled_before()) partition.settled_before = *before;
  } else {
    const std::uint32_t attempt = lane.window.at(offset).attempt + (verdict == Verdict::kGiveBack ? 0 : 1);
    lane.window.give_back(offset, loop_.now() + pause, attempt);
  }
  const bool was_crowded = partition.crowded;
  if (lane.window.size() >= kWindowLimit) partition.crowded = true;
  if (lane.window.size() <= kWindowLimit / 2) partition.crowded = false;
  dispatch_soon(*lane.topic);  // the subscriber has room again, whatever became of the partition
  if (lane.revoked) {
    if (lane.window.running() > 0) return;
    partition.quiet = true;
    if (consumer_ != nullptr) consumer_->wake();
    return;
  }
  const bool has_room = partition.held <= static_cast<std::int64_t>(options_->window) / 2;
  if (consumer_ != nullptr && (was_crowded != partition.crowded || (partition.paused && has_room))) consumer_->wake();
}

Nanos KafkaGroup::pause_after(Verdict verdict, std::uint32_t attempt) const {
  if (verdict == Verdict::kRetry) return options_->backoff.pause_after(attempt);
  return kGiveBackPause;
}

void KafkaGroup::set_timer() {
  std::optional<Nanos> next;
  for (const auto& [name, topic] : topics_) {
    if (topic->members.empty()) continue;
    for (const auto& [number, lane] : topic->lanes) {
      const auto at = lane->window.next_due();
      if (at && (!next || *at < *next)) next = at;
    }
  }
  if (next && *next > loop_.now()) {
    retry_timer_.start(Deadline::at(*next));
  } else if (!next) {
    retry_timer_.cancel();
  }
}

void KafkaGroup::due() {
  for (const auto& [name, topic] : topics_) dispatch_soon(*topic);
}

}  // namespace caisson::pubsub
