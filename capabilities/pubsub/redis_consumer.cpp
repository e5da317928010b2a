#include "capabilities/pubsub/redis_consumer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace caisson::pubsub {

namespace {

constexpr Nanos kPause = std::chrono::milliseconds(250);
constexpr Nanos kCommandPatience = std::chrono::seconds(5);
/// A message that nobody could be asked to take comes again after this.
constexpr Nanos kGiveBackPause = std::chrono::seconds(1);
constexpr std::size_t kAcknowledgeAtOnce = 500;
/// What is left to others by name; the rest is theirs when its lease has run out.
constexpr std::size_t kFarewellLimit = 1000;

/// The second is what Redis 7 says to one that waits for a stream that is deleted.
bool is_group_gone(std::string_view text) {
  return text.starts_with("NOGROUP") || text.starts_with("UNBLOCKED the stream key");
}

}  // namespace

/// One subscriber: runs handlers for what the consumer holds.
class RedisConsumer::Member final : public Subscription {
 public:
  Member(RedisConsumer& consumer, Handler handler, std::size_t at_once)
      : consumer_(consumer),
        handler_(std::move(handler)),
        at_once_(std::max(at_once, consumer.options_.concurrency)),
        scope_(consumer.loop_) {
    consumer_.members_.push_back(this);
  }

  ~Member() override {
    for (const StreamId id : running_) consumer_.held_.fail(id, consumer_.loop_.now(), false);
    consumer_.leave(*this);
  }

  [[nodiscard]] bool active() const { return !draining_; }
  [[nodiscard]] bool has_room() const { return active() && running_.size() < at_once_; }
  void take(HeldMessages::Taken taken) {
    running_.insert(taken.id);
    scope_.spawn(handle(std::move(taken)));
  }

  Task<void> drain(Deadline deadline) override {
    draining_ = true;
    while (!running_.empty()) {
      const Wake wake = co_await ended_.wait(consumer_.loop_, deadline);
      if (wake == Wake::kDeadline) co_return;
    }
    auto finishing = consumer_.finish(deadline);
    co_await std::move(finishing);
  }

 private:
  Task<void> handle(HeldMessages::Taken taken) {
    const StreamId id = taken.id;
    Delivery delivery{consumer_.topic_, std::move(taken.message), taken.attempt};
    const Verdict verdict = co_await handler_(std::move(delivery));
    running_.erase(id);
    consumer_.settle(id, verdict);
    consumer_.dispatch_soon();
    ended_.wake_all();
  }

  RedisConsumer& consumer_;
  Handler handler_;
  std::size_t at_once_;
  std::set<StreamId> running_;
  bool draining_ = false;
  WaitQueue ended_;
  TaskScope scope_;
};

RedisConsumer::RedisConsumer(Shared& shared, std::string topic, std::string group)
    : shared_(shared),
      loop_(shared.loop),
      options_(shared.options),
      topic_(std::move(topic)),
      group_(std::move(group)),
      name_(prefix() + shared.instance),
      own_pending_again_at_(loop_.now() + options_.block() + std::chrono::seconds(1)),
      reader_(loop_, options_.server,
              redis::Client::Hooks{.changed = [this] { shared_.changed(); },
                                   .connected =
                                       [this] {
                                         // After an outage everybody is idle. The living get the time
                                         // to say so before their messages are taken for abandoned.
                                         take_over_at_ = loop_.now() + options_.lease() / 2;
                                       },
                                   .pushed = {}}),
      scope_(loop_) {}

RedisConsumer::~RedisConsumer() { *alive_ = false; }

std::string RedisConsumer::prefix() const { return group_ + "-caisson-"; }

void RedisConsumer::start() {
  scope_.spawn(read());
  scope_.spawn(redeliver());
  scope_.spawn(acknowledge());
  scope_.spawn(renew_leases());
}

std::unique_ptr<Subscription> RedisConsumer::add(Handler handler, std::size_t at_once) {
  std::unique_ptr<Subscription> member = std::make_unique<Member>(*this, std::move(handler), at_once);
  // As for a consumer that begins: what failed before may well be taken now.
  held_.hurry(loop_.now());
  failed_.wake_all();
  room_.wake_all();
  dispatch_soon();
  return member;
}

void RedisConsumer::leave(Member& member) {
  std::erase(members_, &member);
  if (members_.empty()) {
    shared_.deserted(*this);
    return;
  }
  failed_.wake_all();
  dispatch_soon();
}

bool RedisConsumer::has_active_member() const {
  return std::ranges::any_of(members_, [](const Member* member) { return member->active(); });
}

bool RedisConsumer::wants_new() const { return has_active_member() && held_.new_count() <= options_.queue_depth / 2; }

// --- health ---

std::optional<std::string> RedisConsumer::trouble() const {
  if (auto down = reader_.down_reason()) return down;
  if (trouble_.empty()) return std::nullopt;
  return fmt::format("topic '{}': {}", topic_, trouble_);
}

void RedisConsumer::note_trouble(std::string_view doing, const Error& error) {
  shared_.log_limit.log(LogLevel::kError, fmt::format("component '{}', topic '{}', group '{}': cannot {}: {}",
                                                      options_.component, topic_, group_, doing, error.message));
  if (std::exchange(trouble_, error.message) != trouble_) shared_.changed();
}

void RedisConsumer::note_well() {
  if (!std::exchange(trouble_, {}).empty()) shared_.changed();
}

Task<void> RedisConsumer::pause() { co_await loop_.sleep_until(loop_.deadline_in(kPause)); }

// --- reading ---

Task<Result<void>> create_group(redis::Client& client, std::string topic, std::string group, Deadline deadline) {
  redis::Command command{"XGROUP", "CREATE", topic, group, "0", "MKSTREAM"};
  auto asked = client.ask(std::move(command), deadline);
  CO_ASSIGN(const redis::Reply reply, co_await std::move(asked));
  if (reply.is_error() && !reply.text.starts_with("BUSYGROUP")) {
    co_return Error{Errc::kFailedPrecondition, reply.text};
  }
  co_return ok();
}

Task<void> RedisConsumer::read() {
  while (true) {
    if (!wants_new()) {
      co_await room_.wait(loop_, Deadline::never());
    } else if (group_lost_) {
      auto recreating = recreate_group();
      co_await std::move(recreating);
    } else if (loop_.now() >= own_pending_at_) {
      // Between two reads: what the server is about to give us is pending as well, and not ours to claim.
      auto taking = take_pending(Whose::kOwn);
      const auto taken = co_await std::move(taking);
      if (taken) {
        own_pending_at_ = std::exchange(own_pending_again_at_, Nanos::max());
      } else if (!group_lost_) {
        note_trouble("look for what is pending", taken.error());
        auto pausing = pause();
        co_await std::move(pausing);
      }
    } else {
      auto reading = read_once();
      co_await std::move(reading);
    }
  }
}

Task<void> RedisConsumer::read_once() {
  using std::chrono::milliseconds;
  redis::Command command{"XREADGROUP", "GROUP", group_, name_, "COUNT"};
  command.add(static_cast<std::int64_t>(options_.queue_depth - held_.new_count()));
  command.add("BLOCK").add(std::chrono::duration_cast<milliseconds>(options_.block()).count());
  command.add("STREAMS").add(topic_).add(">");
  auto asked = reader_.ask(std::move(command), Deadline::never(), options_.block());
  auto reply = co_await std::move(asked);

  Result<std::vector<StreamEntry>> entries = std::vector<StreamEntry>();
  if (!reply) {
    entries = std::move(reply).error();
  } else if (reply->is_error()) {
    entries = Error{Errc::kFailedPrecondition, reply->text};
  } else {
    entries = read_stream_reply(*std::move(reply));
  }
  group_lost_ = !entries && is_group_gone(entries.error().message);
  if (group_lost_) co_return;
  if (!entries) {
    if (entries.error().code != Errc::kUnavailable) {
      // What the server gave out and we never saw is pending under our name; also what it may yet give
      // to the connection that is gone.
      own_pending_at_ = loop_.now();
      own_pending_again_at_ = loop_.now() + options_.block() + std::chrono::seconds(1);
    }
    note_trouble("read", entries.error());
    auto pausing = pause();
    co_await std::move(pausing);
    co_return;
  }
  note_well();
  for (StreamEntry& entry : *entries) held_.take_new(std::move(entry), loop_.now());
  if (!entries->empty()) dispatch_soon();
}

Task<void> RedisConsumer::recreate_group() {
  auto creating = create_group(shared_.commands, topic_, group_, loop_.deadline_in(kCommandPatience));
  const auto created = co_await std::move(creating);
  if (created) {
    group_lost_ = false;
    shared_.log_limit.log(
        LogLevel::kWarning,
        fmt::format("component '{}', topic '{}': the consumer group '{}' was gone (was the server emptied?); "
                    "it begins again at the oldest message",
                    options_.component, topic_, group_));
    co_return;
  }
  note_trouble("create the consumer group", created.error());
  auto pausing = pause();
  co_await std::move(pausing);
}

// --- handing out ---

void RedisConsumer::dispatch_soon() {
  if (std::exchange(dispatching_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    dispatching_ = false;
    dispatch();
  });
}

void RedisConsumer::dispatch() {
  while (true) {
    Member* taker = nullptr;
    for (std::size_t i = 0; i < members_.size() && taker == nullptr; ++i) {
      Member* const member = members_[next_member_++ % members_.size()];
      if (member->has_room()) taker = member;
    }
    if (taker == nullptr) break;
    auto taken = held_.begin(loop_.now(), options_.lease());
    if (!taken) break;
    taker->take(*std::move(taken));
  }
  room_.wake_all();
}

void RedisConsumer::settle(StreamId id, Verdict verdict) {
  const bool failed = verdict == Verdict::kRetry || verdict == Verdict::kRetrySoon;
  if (verdict == Verdict::kAcknowledge || (failed && options_.acknowledge_on_error)) {
    held_.acknowledge(id);
    verdicts_.wake_all();
    return;
  }
  Nanos due = loop_.now() + kGiveBackPause;
  if (verdict == Verdict::kRetry) {
    const bool never = options_.redeliver_interval == Nanos::zero();
    due = never ? Nanos::max() - Nanos(1) : loop_.now() + options_.redeliver_interval;
  }
  held_.fail(id, due, failed);
  failed_.wake_all();
}

// --- acknowledging ---

/// One XACK at a time; what ends meanwhile shares the next.
Task<void> RedisConsumer::acknowledge() {
  while (true) {
    const std::vector<StreamId> ids = held_.take_acknowledged(kAcknowledgeAtOnce);
    if (ids.empty()) {
      co_await verdicts_.wait(loop_, Deadline::never());
      continue;
    }
    redis::Command command{"XACK", topic_, group_};
    for (const StreamId id : ids) command.add(id.text());
    auto asked = ask(std::move(command));
    const auto reply = co_await std::move(asked);
    if (reply) {
      held_.settled(ids);
      if (held_.unsettled_count() == 0) settled_.wake_all();
      continue;
    }
    held_.unsettled(ids);
    note_trouble("acknowledge", reply.error());
    auto pausing = pause();
    co_await std::move(pausing);
  }
}

/// A command on the shared connection; an error reply is an error.
Task<Result<redis::Reply>> RedisConsumer::ask(redis::Command command) {
  auto asked = shared_.commands.ask(std::move(command), loop_.deadline_in(kCommandPatience));
  CO_ASSIGN(redis::Reply reply, co_await std::move(asked));
  if (!reply.is_error()) co_return Result<redis::Reply>(std::move(reply));
  if (is_group_gone(reply.text)) group_lost_ = true;
  co_return Error{Errc::kFailedPrecondition, reply.text};
}

// --- ending ---

/// The verdicts are safe; what nobody has begun is left to the other consumers at once.
Task<void> RedisConsumer::finish(Deadline deadline) {
  while (held_.unsettled_count() > 0) {
    const Wake wake = co_await settled_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return;
  }
  if (has_active_member()) co_return;
  std::vector<redis::Command> commands;
  for (const Claim& claim : held_.take_unbegun()) commands.push_back(release_command(claim));
  if (commands.empty()) co_return;
  auto asked = shared_.commands.ask_all(std::move(commands), deadline);
  [[maybe_unused]] const auto replies = co_await std::move(asked);  // else their leases run out
}

std::vector<redis::Command> RedisConsumer::farewell() {
  std::vector<redis::Command> commands;
  const std::vector<StreamId> done = held_.unsettled_ids();
  if (!done.empty()) {
    redis::Command command{"XACK", topic_, group_};
    for (const StreamId id : done) command.add(id.text());
    commands.push_back(std::move(command));
  }
  for (const Claim& claim : held_.leftovers()) {
    if (commands.size() >= kFarewellLimit) break;
    commands.push_back(release_command(claim));
  }
  return commands;
}

/// Makes the message look as idle as one of a dead consumer.
redis::Command RedisConsumer::release_command(const Claim& claim) const {
  const auto idle = std::chrono::duration_cast<std::chrono::milliseconds>(options_.takeover_after());
  redis::Command command{"XCLAIM", topic_, group_, name_, "0", claim.id.text()};
  command.add("IDLE").add(idle.count());
  command.add("RETRYCOUNT").add(static_cast<std::int64_t>(claim.attempt)).add("JUSTID");
  return command;
}

}  // namespace caisson::pubsub
