#include "sdk/redis/client.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "sdk/redis/handshake.hpp"
#include "sdk/redis/reply_errors.hpp"

namespace caisson::redis {

namespace {

/// What may wait for a connection, or for room in it.
constexpr std::size_t kMostWaiting = 65536;
constexpr std::size_t kMostWaitingBytes = 64U << 20;
/// A connection without traffic asks so often whether the server is there.
constexpr Nanos kPingAfter = std::chrono::seconds(10);

}  // namespace

class Client::Impl {
 public:
  Impl(EventLoop& loop, Settings settings, Hooks hooks)
      : loop_(loop),
        settings_(std::move(settings)),
        hooks_(std::move(hooks)),
        handshake_(loop, settings_),
        flush_hook_(loop.at_turn_end([this] { flush(); })),
        scope_(loop) {
    scope_.spawn(keep_connected());
  }
  ~Impl() { loop_.remove_turn_end(flush_hook_); }

  EventLoop& loop() { return loop_; }
  [[nodiscard]] bool is_ready() const { return connection_ != nullptr; }
  [[nodiscard]] const std::optional<std::string>& down_reason() const { return down_reason_; }
  WaitQueue& became_ready() { return became_ready_; }

  /// Queues the request, which leaves at the end of the turn or when there is a connection.
  Result<void> submit(Request& request) {
    if (queue_.count() >= kMostWaiting || queue_.bytes() + request.size() > kMostWaitingBytes) {
      return Error{Errc::kResourceExhausted, fmt::format("too many commands wait for Redis{}", why_not())};
    }
    queue_.push_back(request);
    return ok();
  }

  /// What to say of a request whose time is over.
  [[nodiscard]] Error too_late(const Request& request) const {
    if (request.sent()) return {Errc::kDeadlineExceeded, "Redis did not answer in time"};
    return {Errc::kUnavailable, fmt::format("not sent to Redis in time{}", why_not())};
  }

  /// The master may be another one: what is on its way is answered first, the rest waits.
  void learned_read_only() {
    if (settings_.sentinel_master.empty() || connection_ == nullptr) return;
    retiring_ = true;
    connection_changed_.wake_all();
  }

 private:
  Task<void> keep_connected();
  Task<void> serve_until_it_ends();
  Connection::Options connection_options();
  void flush();
  void went_down(std::string reason);
  [[nodiscard]] bool over() const { return connection_->broken() || (retiring_ && connection_->idle()); }
  [[nodiscard]] std::string why_not() const { return down_reason_ ? ": " + *down_reason_ : std::string(); }

  EventLoop& loop_;
  const Settings settings_;
  const Hooks hooks_;
  Handshake handshake_;
  RequestQueue queue_;
  std::unique_ptr<Connection> connection_;  // only while it is ready; after the queue, which it gives back to
  bool retiring_ = false;
  std::optional<std::string> down_reason_ = "not connected yet";
  WaitQueue connection_changed_;
  WaitQueue became_ready_;
  LogLimit log_limit_;
  std::uint64_t flush_hook_;
  TaskScope scope_;  // last: its tasks use everything above
};

Task<void> Client::Impl::keep_connected() {
  Nanos delay{};
  while (true) {
    // At first too: hooks are never called from within the constructor.
    co_await loop_.sleep_until(loop_.deadline_in(delay));
    auto connecting = handshake_.connect(connection_options());
    auto connection = co_await std::move(connecting);
    const Nanos began = loop_.now();
    if (connection) {
      connection_ = *std::move(connection);
      auto serving = serve_until_it_ends();
      co_await std::move(serving);
    } else {
      went_down(connection.error().message);
    }
    // A connection that lasted is replaced at once; one that did not counts as a failed attempt.
    const bool lasted = loop_.now() - began > settings_.max_retry_interval;
    delay = lasted ? Nanos::zero() : std::clamp(2 * delay, settings_.min_retry_interval, settings_.max_retry_interval);
  }
}

Task<void> Client::Impl::serve_until_it_ends() {
  retiring_ = false;
  down_reason_.reset();
  log_limit_.log(LogLevel::kInfo, "redis: connected");
  hooks_.changed();
  hooks_.connected();
  became_ready_.wake_all();
  while (!over()) co_await connection_changed_.wait(loop_, Deadline::never());

  const std::string reason = connection_->broken() ? connection_->broken()->message : "the server is not the master";
  connection_->give_back(queue_);
  connection_.reset();
  went_down("connection lost: " + reason);
}

Connection::Options Client::Impl::connection_options() {
  Connection::Options options;
  options.read_timeout = settings_.read_timeout;
  options.ping_after = hooks_.pushed ? std::min(settings_.read_timeout, kPingAfter) : kPingAfter;
  options.pushed = hooks_.pushed;
  options.changed = [this] {
    if (connection_ != nullptr && over()) connection_changed_.wake_all();
  };
  return options;
}

void Client::Impl::flush() {
  if (connection_ == nullptr) return;
  while (!retiring_ && !queue_.empty() && connection_->has_room()) connection_->send(queue_.pop_front());
  connection_->flush();
}

void Client::Impl::went_down(std::string reason) {
  if (down_reason_ == reason) return;
  log_limit_.log(LogLevel::kWarning, fmt::format("redis: {}", reason));
  down_reason_ = std::move(reason);
  hooks_.changed();
}

Client::Client(EventLoop& loop, Settings settings, Hooks hooks)
    : impl_(std::make_unique<Impl>(loop, std::move(settings), std::move(hooks))) {}

Client::~Client() = default;

std::optional<std::string> Client::down_reason() const { return impl_->down_reason(); }

Task<Result<void>> Client::ready(Deadline deadline) {
  while (!impl_->is_ready()) {
    const Wake wake = co_await impl_->became_ready().wait(impl_->loop(), deadline);
    if (wake == Wake::kDeadline && !impl_->is_ready()) {
      co_return Error{Errc::kUnavailable, impl_->down_reason().value_or("not connected")};
    }
  }
  co_return ok();
}

Task<Result<Reply>> Client::ask(Command command, Deadline deadline, Nanos blocks_for) {
  Reply reply;
  Request request(std::span(&command, 1), std::span(&reply, 1), blocks_for);
  CO_TRY(impl_->submit(request));
  EventLoop& loop = impl_->loop();
  while (!request.done()) {
    const Wake wake = co_await request.wait(loop, deadline);
    if (wake == Wake::kDeadline && !request.done()) co_return impl_->too_late(request);
  }
  // A failure may be that the client is gone: from here on nothing of it is used then.
  if (request.failure()) co_return *request.failure();
  if (auto refused = refusal_of(reply)) {
    if (is_read_only(reply)) impl_->learned_read_only();
    co_return *std::move(refused);
  }
  co_return reply;
}

Task<Result<std::vector<Reply>>> Client::ask_all(std::vector<Command> commands, Deadline deadline) {
  std::vector<Reply> replies(commands.size());
  if (commands.empty()) co_return replies;
  Request request(commands, replies);
  CO_TRY(impl_->submit(request));
  EventLoop& loop = impl_->loop();
  while (!request.done()) {
    const Wake wake = co_await request.wait(loop, deadline);
    if (wake == Wake::kDeadline && !request.done()) co_return impl_->too_late(request);
  }
  if (request.failure()) co_return *request.failure();
  if (std::ranges::any_of(replies, is_read_only)) impl_->learned_read_only();
  if (std::ranges::all_of(replies, [](const Reply& reply) { return refusal_of(reply).has_value(); })) {
    co_return *refusal_of(replies.front());
  }
  co_return replies;
}

}  // namespace caisson::redis
