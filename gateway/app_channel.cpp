#include "gateway/app_channel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bus/host_lookup.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "gateway/app_caller.hpp"
#include "gateway/concurrency_gate.hpp"
#include "net/tcp_stream.hpp"

namespace caisson::gateway {

namespace {

constexpr Nanos kConnectInterval = std::chrono::milliseconds(100);
constexpr Nanos kConnectTimeout = std::chrono::milliseconds(500);
/// How often the port is tried while the app runs: seldom while a kept connection would tell of its
/// end, oftener while nothing else would.
constexpr Nanos kWatchInterval = std::chrono::seconds(1);
constexpr Nanos kBlindWatchInterval = std::chrono::milliseconds(200);
/// A port that does not answer is a full backlog more often than a lost host.
constexpr int kSilentConnectsUntilGone = 5;

constexpr int kQueryTries = 4;  // one, and three more
constexpr Nanos kQueryFirstPause = std::chrono::milliseconds(250);
constexpr Nanos kQueryLongestPause = std::chrono::seconds(1);
constexpr Nanos kQueryTimeout = std::chrono::seconds(10);
constexpr std::size_t kMaxWaitingCalls = 1024;

}  // namespace

class AppChannel::Impl {
 public:
  Impl(AppChannel& self, EventLoop& loop, AppConfig config, AppObserver& observer, AppAddress::LookUp look_up)
      : config_(std::move(config)),
        self_(self),
        loop_(loop),
        observer_(observer),
        address_(AppAddress::make(loop, config_.app_channel_address, config_.app_port, std::move(look_up))),
        gate_(loop, config_.app_max_concurrency, kMaxWaitingCalls),
        caller_(make_app_caller(loop, config_, [this] { suspicion_.wake_all(); })),
        scope_(loop) {}

  void start() {
    if (!has_port()) return;
    if (!address_) {
      log(LogLevel::kError, fmt::format("app {}: --app-channel-address: {}", config_.id, address_.error().message));
      return;
    }
    if (!caller_) {
      log(LogLevel::kError, fmt::format("app {}: {}", config_.id, caller_.error().message));
      return;
    }
    scope_.spawn(keep());
  }

  void set_queries(AppQueries queries) {
    queries_ = std::move(queries);
    ask();
  }

  [[nodiscard]] bool has_port() const { return config_.app_port != 0; }
  [[nodiscard]] bool reachable() const { return reachable_; }
  [[nodiscard]] bool healthy() const { return reachable_ && passes_; }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }
  [[nodiscard]] std::size_t calls_in_flight() const { return gate_.inside(); }
  [[nodiscard]] std::string direct_address() const {
    const bool plain = config_.app_protocol == "http" && config_.app_token.empty() && config_.app_max_concurrency <= 0;
    // A host's name may mean another address tomorrow: that is followed here alone.
    const bool fixed = !is_host_name(config_.app_channel_address);
    return plain && fixed && reachable_ ? endpoint_.text : std::string();
  }

  Task<void> serve(Incoming call);

  const AppConfig config_;

 private:
  // Whether the app is there.
  Task<void> keep();
  Task<void> wait_for_port();
  Task<void> watch();
  Task<bool> find();
  Task<Errc> try_port();
  Task<Errc> try_port_at(net::Endpoint endpoint);
  Task<void> probe_health();
  Task<bool> passes_health_check();
  void arrived();
  void left();

  // What it is asked.
  void ask();
  Task<void> ask_one(std::string path, std::uint64_t incarnation);

  // What it is called with.
  [[nodiscard]] Result<void> may_call() const;
  Task<Result<void>> carry(Incoming& call);

  AppChannel& self_;
  EventLoop& loop_;
  AppObserver& observer_;
  Result<AppAddress> address_;
  net::Endpoint endpoint_;  // where it was found
  ConcurrencyGate gate_;

  bool reachable_ = false;
  bool passes_ = false;
  std::uint64_t incarnation_ = 0;
  AppQueries queries_;
  std::map<std::string, std::uint64_t> asked_;  // path to the incarnation that was asked it
  TaskScope::Id health_task_ = 0;
  WaitQueue suspicion_;
  LogLimit log_limit_;
  LogLimit lookup_log_{std::chrono::seconds(10)};
  Result<std::unique_ptr<AppCaller>> caller_;
  TaskScope scope_;  // last: its tasks use the rest
};

// --- whether the app is there ---

Task<void> AppChannel::Impl::keep() {
  while (true) {
    co_await wait_for_port();
    arrived();
    co_await watch();
    left();
  }
}

Task<void> AppChannel::Impl::wait_for_port() {
  while (true) {
    const Deadline next = loop_.deadline_in(kConnectInterval);
    const bool found = co_await find();
    if (found) co_return;
    co_await loop_.sleep_until(next);
  }
}

/// Tries every address that its name has now.
Task<bool> AppChannel::Impl::find() {
  auto finding = address_->endpoints();
  const auto candidates = co_await std::move(finding);
  if (!candidates) {
    lookup_log_.log(LogLevel::kWarning, fmt::format("app {}: {}", config_.id, candidates.error().message));
    co_return false;
  }
  for (const net::Endpoint& candidate : *candidates) {
    const Errc tried = co_await try_port_at(candidate);
    if (tried != Errc::kOk) continue;
    endpoint_ = candidate;
    (*caller_)->move_to(candidate);
    co_return true;
  }
  co_return false;
}

/// Until connections are refused, or its name means another host.
Task<void> AppChannel::Impl::watch() {
  int silent = 0;
  while (silent < kSilentConnectsUntilGone) {
    const Nanos pause = (*caller_)->connected() ? kWatchInterval : kBlindWatchInterval;
    co_await suspicion_.wait(loop_, loop_.deadline_in(pause));
    const Errc tried = co_await try_port();
    if (tried == Errc::kUnavailable) co_return;
    silent = tried == Errc::kOk ? 0 : silent + 1;
  }
}

/// Where it was found. A name that nobody resolves just now says nothing about the app.
Task<Errc> AppChannel::Impl::try_port() {
  auto finding = address_->endpoints();
  const auto candidates = co_await std::move(finding);
  if (candidates && std::ranges::find(*candidates, endpoint_) == candidates->end()) co_return Errc::kUnavailable;
  co_return co_await try_port_at(endpoint_);
}

/// Opens a connection and closes it at once, so that an app which serves one at a time is not held up.
Task<Errc> AppChannel::Impl::try_port_at(net::Endpoint endpoint) {
  auto connecting = net::TcpStream::connect(loop_, std::move(endpoint), nullptr, loop_.deadline_in(kConnectTimeout));
  const auto socket = co_await std::move(connecting);
  co_return socket ? Errc::kOk : socket.error().code;
}

void AppChannel::Impl::arrived() {
  reachable_ = true;
  passes_ = !config_.health_check;
  ++incarnation_;
  log(LogLevel::kInfo,
      fmt::format("app {} is reachable at {} (incarnation {})", config_.id, address_->text(), incarnation_));
  observer_.app_changed(self_);
  if (config_.health_check) health_task_ = scope_.spawn(probe_health());
  ask();
}

void AppChannel::Impl::left() {
  reachable_ = false;
  passes_ = false;
  (*caller_)->let_go();
  if (config_.health_check) scope_.cancel(health_task_);
  log(LogLevel::kWarning, fmt::format("app {} is no longer reachable at {}", config_.id, address_->text()));
  observer_.app_changed(self_);
}

Task<void> AppChannel::Impl::probe_health() {
  const std::uint64_t incarnation = incarnation_;
  std::uint32_t failures = 0;
  while (incarnation == incarnation_ && reachable_) {
    const Deadline next = loop_.deadline_in(config_.health_interval);
    const bool passed = co_await passes_health_check();
    if (incarnation != incarnation_ || !reachable_) co_return;
    failures = passed ? 0 : failures + 1;
    const bool now = passed || (passes_ && failures < config_.health_threshold);
    if (now != passes_) {
      passes_ = now;
      log(now ? LogLevel::kInfo : LogLevel::kWarning,
          fmt::format("app {} {} its health check", config_.id, now ? "passes" : "fails"));
      observer_.app_changed(self_);
      ask();
    }
    co_await loop_.sleep_until(next);
  }
}

Task<bool> AppChannel::Impl::passes_health_check() {
  AppCaller& caller = **caller_;
  const std::string& question = caller.asks_rpcs() ? queries_.health_rpc : config_.health_path;
  if (question.empty()) {
    log_limit_.log(LogLevel::kError, fmt::format("app {}: no manifest says how its health is asked", config_.id));
    co_return false;
  }
  auto asking = caller.ask(question, loop_.deadline_in(config_.health_timeout));
  const auto answer = co_await std::move(asking);
  co_return answer&& caller.is_well(answer->status);
}

// --- what it is asked ---

/// Asks what this incarnation was not asked yet. An app with a health check is asked once it passes:
/// before, it may not know its own answers.
void AppChannel::Impl::ask() {
  if (!healthy()) return;
  for (const std::string& path : (*caller_)->asks_rpcs() ? queries_.rpcs : queries_.paths) {
    std::uint64_t& asked = asked_[path];
    if (asked == incarnation_) continue;
    asked = incarnation_;
    scope_.spawn(ask_one(path, incarnation_));
  }
}

Task<void> AppChannel::Impl::ask_one(std::string path, std::uint64_t incarnation) {
  AppCaller& caller = **caller_;
  if (std::ranges::find(config_.disabled_queries, path) != config_.disabled_queries.end()) {
    observer_.app_answered(self_, path, caller.nothing_there(), {});
    co_return;
  }
  Nanos pause = kQueryFirstPause;
  AppCaller::Answer last;
  for (int attempt = 1; attempt <= kQueryTries; ++attempt) {
    auto asking = caller.ask(path, loop_.deadline_in(kQueryTimeout));
    auto answer = co_await std::move(asking);
    if (incarnation != incarnation_) co_return;  // the next one is asked anew
    if (answer && !caller.is_passing(answer->status)) {
      last = *std::move(answer);
      break;
    }
    last.status = answer ? answer->status : caller.no_answer();
    last.body = answer ? std::move(answer->body) : std::string();
    const std::string why = answer ? fmt::format("status {}", answer->status) : answer.error().message;
    log_limit_.log(LogLevel::kWarning, fmt::format("app {}: asked for {}: {}", config_.id, path, why));
    if (attempt == kQueryTries) break;
    co_await loop_.sleep_until(loop_.deadline_in(pause));
    pause = std::min(pause * 2, kQueryLongestPause);
  }
  if (incarnation == incarnation_) observer_.app_answered(self_, path, last.status, last.body);
}

// --- what it is called with ---

Result<void> AppChannel::Impl::may_call() const {
  if (!has_port()) return Error{Errc::kFailedPrecondition, fmt::format("app {} has no app port", config_.id)};
  if (!caller_) return Error{caller_.error().code, fmt::format("app {}: {}", config_.id, caller_.error().message)};
  if (!address_) {
    return Error{Errc::kFailedPrecondition, fmt::format("app {}: {}", config_.id, address_.error().message)};
  }
  if (!reachable_) {
    return Error{Errc::kUnavailable, fmt::format("app {} does not listen on {}", config_.id, address_->text())};
  }
  if (!passes_) return Error{Errc::kFailedPrecondition, fmt::format("app {} is not in a healthy state", config_.id)};
  return ok();
}

Task<void> AppChannel::Impl::serve(Incoming call) {
  const Result<void> carried = co_await carry(call);
  if (carried) co_return;
  [[maybe_unused]] const auto told = co_await call.reply_error(carried.error());  // or the asker is gone
}

/// An error: no answer has been begun.
Task<Result<void>> AppChannel::Impl::carry(Incoming& call) {
  CO_TRY(may_call());
  ConcurrencyGate::Turn turn(gate_);
  auto taking = turn.take(call.deadline());
  CO_TRY(co_await std::move(taking));
  CO_TRY(may_call());  // it may have left meanwhile

  auto carrying = (*caller_)->carry(call);
  auto carried = co_await std::move(carrying);
  if (!carried) suspicion_.wake_all();
  co_return carried;
}

// --- AppChannel ---

AppChannel::AppChannel(EventLoop& loop, AppConfig config, AppObserver& observer)
    : AppChannel(loop, std::move(config), observer, [](EventLoop& on, std::string host, Deadline deadline) {
        return look_up_host(on, std::move(host), deadline);
      }) {}
AppChannel::AppChannel(EventLoop& loop, AppConfig config, AppObserver& observer, AppAddress::LookUp look_up)
    : impl_(std::make_unique<Impl>(*this, loop, std::move(config), observer, std::move(look_up))) {}
AppChannel::~AppChannel() = default;

void AppChannel::start() { impl_->start(); }
void AppChannel::set_queries(AppQueries queries) { impl_->set_queries(std::move(queries)); }
const AppConfig& AppChannel::config() const { return impl_->config_; }
bool AppChannel::has_port() const { return impl_->has_port(); }
bool AppChannel::reachable() const { return impl_->reachable(); }
bool AppChannel::healthy() const { return impl_->healthy(); }
std::uint64_t AppChannel::incarnation() const { return impl_->incarnation(); }
std::size_t AppChannel::calls_in_flight() const { return impl_->calls_in_flight(); }
std::string AppChannel::direct_address() const { return impl_->direct_address(); }
Task<void> AppChannel::serve(Incoming call) { return impl_->serve(std::move(call)); }

}  // namespace caisson::gateway
