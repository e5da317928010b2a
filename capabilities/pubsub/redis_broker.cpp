#include "capabilities/pubsub/redis_broker.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace caisson::pubsub {

namespace {

/// A subscription begins without its group when the server does not answer; the consumer creates it.
constexpr Nanos kGroupPatience = std::chrono::seconds(2);
constexpr Nanos kFarewellPatience = std::chrono::seconds(5);

bool may_pass(const Error& error) {
  return error.code == Errc::kUnavailable || error.code == Errc::kUnknown || error.code == Errc::kDeadlineExceeded ||
         error.code == Errc::kResourceExhausted;
}

}  // namespace

RedisBroker::RedisBroker(EventLoop& loop, RedisBrokerOptions options, ConsumerInstance instance, WallClock wall_clock,
                         std::function<void()> changed)
    : loop_(loop),
      options_(std::move(options)),
      instance_(std::move(instance)),
      wall_clock_(std::move(wall_clock)),
      commands_(loop, options_.server, redis::Client::Hooks{.changed = changed, .connected = [] {}, .pushed = {}}),
      shared_{loop,
              options_,
              instance_.name,
              commands_,
              log_limit_,
              changed,
              [this](RedisConsumer& consumer) {
                remove_if_deserted({consumer.topic(), consumer.group()});
              }},
      scope_(loop) {}

RedisBroker::~RedisBroker() { *alive_ = false; }

Task<Result<std::shared_ptr<RedisBroker>>> RedisBroker::open(EventLoop& loop, RedisBrokerOptions options,
                                                             ConsumerInstance instance, WallClock wall_clock,
                                                             std::function<void()> changed, Deadline deadline) {
  std::shared_ptr<RedisBroker> broker(
      new RedisBroker(loop, std::move(options), std::move(instance), std::move(wall_clock), std::move(changed)));
  auto connecting = broker->commands_.ready(deadline);
  CO_TRY(co_await std::move(connecting));
  co_return broker;
}

std::optional<std::string> RedisBroker::down_reason() const {
  if (auto down = commands_.down_reason()) return down;
  for (const auto& [key, consumer] : consumers_) {
    if (auto trouble = consumer->trouble()) return trouble;
  }
  return std::nullopt;
}

// --- publishing ---

Task<Result<void>> RedisBroker::publish(std::string topic, Message message, Deadline deadline) {
  redis::Command command = make_xadd(topic, message, trim());
  auto asked = commands_.ask(std::move(command), deadline);
  CO_ASSIGN(const redis::Reply reply, co_await std::move(asked));
  if (reply.is_error()) co_return Error{Errc::kInvalidArgument, reply.text};
  if (!reply.is_text()) co_return Error{Errc::kUnknown, "the server's answer to XADD is no id"};
  co_return ok();
}

StreamTrim RedisBroker::trim() const {
  StreamTrim trim;
  trim.max_length = options_.max_length;
  if (options_.stream_ttl > Nanos::zero()) {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    const auto now = duration_cast<milliseconds>(wall_clock_().time_since_epoch());
    trim.min_ms = std::max<std::int64_t>(0, (now - duration_cast<milliseconds>(options_.stream_ttl)).count());
  }
  return trim;
}

// --- subscribing ---

Task<Result<std::unique_ptr<Subscription>>> RedisBroker::subscribe(SubscribeOptions options, Handler handler,
                                                                   Deadline deadline) {
  Key key(options.topic, options.group);
  if (!consumers_.contains(key)) {
    auto creating =
        create_group(commands_, options.topic, options.group, deadline.earlier(loop_.deadline_in(kGroupPatience)));
    auto created = co_await std::move(creating);
    if (!created && !may_pass(created.error())) co_return std::move(created).error();
  }
  if (!consumers_.contains(key)) {  // or another subscriber came meanwhile
    if (consumers_.size() >= kMaxConsumers) {
      co_return Error{
          Errc::kResourceExhausted,
          fmt::format("there are {} topics subscribed to, each with a connection; no more are allowed", kMaxConsumers)};
    }
    auto consumer = std::make_unique<RedisConsumer>(shared_, options.topic, options.group);
    consumer->start();
    consumers_.emplace(key, std::move(consumer));
  }
  co_return consumers_.at(key)->add(std::move(handler), options.at_once);
}

void RedisBroker::remove_if_deserted(Key key) {
  // Not at once: it may be one of the consumer's own tasks that ends here.
  loop_.post([this, key = std::move(key), alive = alive_] {
    if (!*alive) return;
    const auto found = consumers_.find(key);
    if (found == consumers_.end() || found->second->has_members()) return;
    std::vector<redis::Command> commands = found->second->farewell();
    consumers_.erase(found);
    if (!commands.empty()) scope_.spawn(leave_behind(std::move(commands)));
  });
}

/// Best effort: what does not get through is found by its lease running out.
Task<void> RedisBroker::leave_behind(std::vector<redis::Command> commands) {
  auto asked = commands_.ask_all(std::move(commands), loop_.deadline_in(kFarewellPatience));
  [[maybe_unused]] const auto replies = co_await std::move(asked);
}

}  // namespace caisson::pubsub
