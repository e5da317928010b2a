#include "gateway/app_channel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "bus/host_lookup.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "gateway/concurrency_gate.hpp"
#include "net/http1_client.hpp"

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
constexpr std::size_t kMaxQueryAnswer = 1024 * 1024;

constexpr std::size_t kMaxWaitingCalls = 1024;
/// A body of known length up to here is one piece of a reply; a longer one is streamed.
constexpr std::size_t kWholeBody = 256 * 1024;

constexpr std::string_view kTokenHeader = "dapr-api-token";
constexpr std::string_view kAppHeader = "dapr-app-id";

/// What a call's frame says, as the head of a request. The fields point into the frame.
struct CallHead {
  net::HttpRequestHead head;
  std::vector<Field> headers;
  std::optional<std::uint64_t> length;
};

bool has_header(const std::vector<Field>& headers, std::string_view name) {
  return std::ranges::any_of(headers, [&](const Field& field) { return equal_ignoring_case(field.name, name); });
}

CallHead head_of(const Frame& frame, const AppConfig& config) {
  CallHead call;
  for (const Field field : frame.headers()) {
    if (equal_ignoring_case(field.name, kTokenHeader)) continue;
    call.headers.push_back(field);
    if (!equal_ignoring_case(field.name, "content-length")) continue;
    std::uint64_t length = 0;
    const char* const end = field.value.data() + field.value.size();
    if (std::from_chars(field.value.data(), end, length).ptr == end && !field.value.empty()) call.length = length;
  }
  if (!config.app_token.empty()) call.headers.push_back({kTokenHeader, config.app_token});
  const std::string_view trace = text(frame->traceparent());
  if (!trace.empty() && !has_header(call.headers, "traceparent")) {
    call.headers.push_back({"traceparent", trace});
    if (const std::string_view state = text(frame->tracestate()); !state.empty()) {
      call.headers.push_back({"tracestate", state});
    }
  }
  if (const std::string_view method = text(frame->method()); !method.empty()) call.head.method = method;
  if (const std::string_view path = text(frame->path()); !path.empty()) call.head.path = path;
  call.head.query = text(frame->query());
  call.head.headers = call.headers;
  return call;
}

/// Everything that is left of an answer's body, kOutOfRange when it is longer than `limit`.
Task<Result<std::string>> whole_body(net::HttpReply& reply, std::size_t limit, Deadline deadline) {
  std::string body;
  while (true) {
    CO_ASSIGN(auto piece, co_await reply.next(deadline));
    if (!piece) co_return body;
    if (body.size() + piece->size() > limit) co_return Error{Errc::kOutOfRange, "the answer is too long"};
    body += piece->view();
  }
}

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
        scope_(loop) {
    net::Http1Client::Options options;
    options.hung_up = [this] { suspicion_.wake_all(); };
    client_.emplace(loop_, net::Endpoint(), std::move(options));  // moves to the app when it is found
  }

  void start() {
    if (!has_port()) return;
    if (!address_) {
      log(LogLevel::kError, fmt::format("app {}: --app-channel-address: {}", config_.id, address_.error().message));
      return;
    }
    if (!speaks_http()) {
      log(LogLevel::kError, fmt::format("app {}: --app-protocol {} is not supported yet; only http is", config_.id,
                                        config_.app_protocol));
      return;
    }
    scope_.spawn(keep());
  }

  void set_queries(std::vector<std::string> paths) {
    queries_ = std::move(paths);
    ask();
  }

  [[nodiscard]] bool has_port() const { return config_.app_port != 0; }
  [[nodiscard]] bool speaks_http() const { return config_.app_protocol == "http"; }
  [[nodiscard]] bool reachable() const { return reachable_; }
  [[nodiscard]] bool healthy() const { return reachable_ && passes_; }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }
  [[nodiscard]] std::size_t calls_in_flight() const { return gate_.inside(); }

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
  Task<Result<std::pair<std::uint16_t, std::string>>> get(std::string path, Nanos timeout);

  // What it is called with.
  [[nodiscard]] Result<void> may_call() const;
  Task<Result<void>> carry(Incoming& call);
  Task<Result<void>> pass_on(Incoming& call, net::HttpReply& answer);

  AppChannel& self_;
  EventLoop& loop_;
  AppObserver& observer_;
  Result<AppAddress> address_;
  net::Endpoint endpoint_;  // where it was found
  ConcurrencyGate gate_;

  bool reachable_ = false;
  bool passes_ = false;
  std::uint64_t incarnation_ = 0;
  std::vector<std::string> queries_;
  std::map<std::string, std::uint64_t> asked_;  // path to the incarnation that was asked it
  TaskScope::Id health_task_ = 0;
  WaitQueue suspicion_;
  LogLimit log_limit_;
  LogLimit lookup_log_{std::chrono::seconds(10)};
  std::optional<net::Http1Client> client_;
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
    client_->move_to(candidate);
    co_return true;
  }
  co_return false;
}

/// Until connections are refused, or its name means another host.
Task<void> AppChannel::Impl::watch() {
  int silent = 0;
  while (silent < kSilentConnectsUntilGone) {
    const Nanos pause = client_->idle_connections() > 0 ? kWatchInterval : kBlindWatchInterval;
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
  client_->close_idle();
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
  const auto answer = co_await get(config_.health_path, config_.health_timeout);
  co_return answer && answer->first / 100 == 2;
}

// --- what it is asked ---

/// Asks what this incarnation was not asked yet. An app with a health check is asked once it passes:
/// before, it may not know its own answers.
void AppChannel::Impl::ask() {
  if (!healthy()) return;
  for (const std::string& path : queries_) {
    std::uint64_t& asked = asked_[path];
    if (asked == incarnation_) continue;
    asked = incarnation_;
    scope_.spawn(ask_one(path, incarnation_));
  }
}

Task<void> AppChannel::Impl::ask_one(std::string path, std::uint64_t incarnation) {
  if (std::ranges::find(config_.disabled_queries, path) != config_.disabled_queries.end()) {
    observer_.app_answered(self_, path, 404, {});  // as from an app that has nothing to say there
    co_return;
  }
  Nanos pause = kQueryFirstPause;
  std::uint16_t status = 0;
  std::string body;
  for (int attempt = 1; attempt <= kQueryTries; ++attempt) {
    auto answer = co_await get(path, kQueryTimeout);
    if (incarnation != incarnation_) co_return;  // the next one is asked anew
    status = answer ? answer->first : 0;
    body = answer ? std::move(answer->second) : std::string();
    if (answer && status < 500) break;
    log_limit_.log(LogLevel::kWarning, fmt::format("app {}: GET {}: {}", config_.id, path,
                                                   answer ? fmt::format("status {}", status) : answer.error().message));
    if (attempt == kQueryTries) break;
    co_await loop_.sleep_until(loop_.deadline_in(pause));
    pause = std::min(pause * 2, kQueryLongestPause);
  }
  if (incarnation == incarnation_) observer_.app_answered(self_, path, status, body);
}

Task<Result<std::pair<std::uint16_t, std::string>>> AppChannel::Impl::get(std::string path, Nanos timeout) {
  const Deadline deadline = loop_.deadline_in(timeout);
  std::vector<Field> headers = {{"Content-Type", "application/json"}, {kAppHeader, config_.id}};
  if (!config_.app_token.empty()) headers.push_back({kTokenHeader, config_.app_token});
  net::HttpRequestHead head;
  head.path = path;
  head.headers = headers;
  net::HttpRequestBody nothing;
  CO_ASSIGN(net::HttpReply reply, co_await client_->call(head, std::move(nothing), deadline));
  const std::uint16_t status = reply.head().status;
  CO_ASSIGN(std::string body, co_await whole_body(reply, kMaxQueryAnswer, deadline));
  co_return std::pair(status, std::move(body));
}

// --- what it is called with ---

Result<void> AppChannel::Impl::may_call() const {
  if (!has_port()) return Error{Errc::kFailedPrecondition, fmt::format("app {} has no app port", config_.id)};
  if (!speaks_http()) {
    return Error{Errc::kUnimplemented, fmt::format("app {}: app protocol {} is not supported yet; only http is",
                                                   config_.id, config_.app_protocol)};
  }
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
  CO_TRY(co_await turn.take(call.deadline()));
  CO_TRY(may_call());  // it may have left meanwhile

  const CallHead head = head_of(call.head(), config_);
  net::HttpRequestBody body;
  body.first = call.head().payload();
  if (call.head().streamed()) {
    body.length = head.length;
    body.rest = [rest = call.rest()](Deadline deadline) mutable { return rest.next(deadline); };
  }
  Result<net::HttpReply> answer = co_await client_->call(head.head, std::move(body), call.deadline());
  if (!answer) {
    suspicion_.wake_all();
    co_return std::move(answer).error();
  }
  co_return co_await pass_on(call, *answer);
}

Task<Result<void>> AppChannel::Impl::pass_on(Incoming& call, net::HttpReply& answer) {
  const net::ResponseHead& head = answer.head();
  std::vector<Field> headers;
  for (const auto& [name, value] : head.headers) headers.push_back({name, value});
  Envelope reply;
  reply.status = head.status;
  reply.headers = headers;

  const bool whole = answer.complete() || (head.content_length && *head.content_length <= kWholeBody);
  if (whole) {
    CO_ASSIGN(std::string body, co_await whole_body(answer, kMaxPayload, call.deadline()));
    co_return co_await call.reply(reply, Buffer(std::move(body)));
  }
  CO_ASSIGN(BodyWriter writer, co_await call.reply_streamed(reply, Buffer()));
  while (true) {
    Result<std::optional<Buffer>> piece = co_await answer.next(call.deadline());
    if (!piece) {
      writer.fail(std::move(piece).error());
      co_return ok();
    }
    Result<void> written;
    if (*piece) {
      written = co_await writer.write(std::move(**piece), call.deadline());
    } else {
      written = co_await writer.finish(call.deadline());
    }
    // Nobody reads any more, or the link is down: dropping the answer closes the app's connection.
    if (!written || !*piece) co_return ok();
  }
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
void AppChannel::set_queries(std::vector<std::string> paths) { impl_->set_queries(std::move(paths)); }
const AppConfig& AppChannel::config() const { return impl_->config_; }
bool AppChannel::has_port() const { return impl_->has_port(); }
bool AppChannel::reachable() const { return impl_->reachable(); }
bool AppChannel::healthy() const { return impl_->healthy(); }
std::uint64_t AppChannel::incarnation() const { return impl_->incarnation(); }
std::size_t AppChannel::calls_in_flight() const { return impl_->calls_in_flight(); }
Task<void> AppChannel::serve(Incoming call) { return impl_->serve(std::move(call)); }

}  // namespace caisson::gateway
