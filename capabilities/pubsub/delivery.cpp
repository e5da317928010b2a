#include "capabilities/pubsub/delivery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "capabilities/pubsub/subscriptions.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::size_t kAnswerLimit = 1024 * 1024;
constexpr Nanos kDeadLetterTimeout = std::chrono::seconds(30);

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || kMarks.find(c) != std::string_view::npos;
  });
}

/// Whether message metadata may become a header: it must be one, and not one of the call's own.
bool may_be_header(std::string_view name, std::string_view value) {
  for (const std::string_view own :
       {"content-type", "content-length", "transfer-encoding", "connection", "host", "upgrade", "te", "trailer",
        "expect", "dapr-api-token", "traceparent", "tracestate"}) {
    if (name == own) return false;
  }
  const bool printable = std::ranges::none_of(
      value, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
  return is_token(name) && printable;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The event's own trace context, or the one beside the message.
std::string trace_field(const JsonValue& event, const Message& message, std::string_view name, std::string_view older) {
  for (const std::string_view member : {name, older}) {
    const std::string_view value = event.text_of(member);
    if (!value.empty()) return std::string(value);
  }
  const std::string* const beside = find_metadata(message.metadata, name);
  return beside == nullptr ? std::string() : *beside;
}

}  // namespace

/// A message as the app will see it.
struct Deliverer::Event {
  std::string body;
  std::string path;
  std::string query;
  std::string traceparent;
  std::string tracestate;
  std::vector<std::pair<std::string, std::string>> headers;
};

DeliveryTarget::DeliveryTarget(std::string app_id, config::Subscription document, std::shared_ptr<PubsubComponent> of)
    : app(std::move(app_id)),
      subscription(std::move(document)),
      router(subscription),
      raw(wants_raw(subscription)),
      component(std::move(of)) {}

Deliverer::Deliverer(sdk::Context& context, sdk::Resiliency& resiliency, WallClock wall_clock)
    : context_(context), resiliency_(resiliency), wall_clock_(std::move(wall_clock)) {}

Task<Verdict> Deliverer::deliver(std::shared_ptr<const DeliveryTarget> target, Delivery delivery) {
  const config::Subscription& subscription = target->subscription;
  const std::string* const content_type = find_metadata(delivery.message.metadata, "contentType");
  const bool opaque =
      target->raw || (content_type != nullptr && media_type(*content_type) == "application/octet-stream");

  JsonValue parsed = JsonValue::object();
  if (!opaque) {
    auto json = parse_json(delivery.message.data);
    if (!json || !json->is_object()) {
      co_return co_await dead_letter(*target, delivery, Verdict::kRetry, "it is not a JSON object");
    }
    parsed = *std::move(json);
  }
  if (has_expired(parsed, wall_clock_())) {
    target->component->counters.dropped.add();
    co_return co_await dead_letter(*target, delivery, Verdict::kAcknowledge, "it has expired");
  }
  const auto route = target->router.route(parsed);
  if (!route) co_return co_await dead_letter(*target, delivery, Verdict::kAcknowledge, "no route takes it");

  Event event;
  const std::size_t question = route->find('?');
  event.path = (route->starts_with('/') ? "" : "/") + route->substr(0, question);
  if (question != std::string::npos) event.query = route->substr(question + 1);
  event.tracestate = trace_field(parsed, delivery.message, "tracestate", "tracestate");
  event.traceparent = trace_field(parsed, delivery.message, "traceparent", "traceid");
  if (target->raw) {
    const std::string id = event_id({});
    const EventContext context{id,   target->app,       subscription.pubsub, subscription.topic,
                               {},   event.traceparent, event.tracestate,    wall_clock_(),
                               false};
    event.body = wrap_raw(context, delivery.message.data);
  } else {
    event.body = delivery.message.data;
  }
  event.traceparent = child_traceparent(event.traceparent);
  if (event.traceparent.empty()) event.tracestate.clear();
  for (const auto& [name, value] : delivery.message.metadata) {
    const std::string header = lower(name);
    if (header != "pubsubname" && may_be_header(header, value)) event.headers.emplace_back(header, value);
  }
  event.headers.emplace_back("pubsubname", subscription.pubsub);
  event.headers.emplace_back("content-type", "application/cloudevents+json");

  Attempt outcome = co_await deliver_with_policy(*target, event);
  co_return co_await settle(*target, delivery, std::move(outcome));
}

namespace {

/// What an attempt means to retries and breakers. An app that is away is no failure of the app's
/// answers, and asking again is for the broker to do.
sdk::Outcome outcome_of(const Result<Attempt>& attempt) {
  sdk::Outcome outcome;
  if (!attempt) return sdk::outcome_of(attempt.error());
  outcome.failed = attempt->kind == Attempt::Kind::kFailed || attempt->kind == Attempt::Kind::kBroken;
  outcome.permanent = !outcome.failed;
  if (outcome.failed) outcome.error = Errc::kUnknown;
  if (outcome.failed && attempt->status >= 300) {
    outcome.code = attempt->status;
    outcome.error = Errc::kOk;
  }
  return outcome;
}

}  // namespace

Task<Attempt> Deliverer::deliver_with_policy(const DeliveryTarget& target, const Event& event) {
  const PubsubComponent& component = *target.component;
  const sdk::Policy policy = resiliency_.component_inbound(target.app, component.name, component.type);
  std::function<Task<Result<Attempt>>(Deadline)> attempt = [this, &target, &event](Deadline deadline) {
    return call_app(target, event, deadline);
  };
  std::function<sdk::Outcome(const Result<Attempt>&)> classify = outcome_of;
  auto outcome = co_await policy.run<Attempt>(std::move(attempt), std::move(classify), Deadline::never());
  if (outcome) co_return *std::move(outcome);
  co_return Attempt{Attempt::Kind::kHeld, 0, std::move(outcome).error().message};
}

Task<Result<Attempt>> Deliverer::call_app(const DeliveryTarget& target, const Event& event, Deadline deadline) {
  std::vector<Field> headers;
  for (const auto& [name, value] : event.headers) headers.push_back({name, value});
  Envelope call;
  call.target = "app";
  call.app = target.app;
  call.method = "POST";
  call.path = event.path;
  call.query = event.query;
  call.traceparent = event.traceparent;
  call.tracestate = event.tracestate;
  call.headers = headers;
  const Nanos limit = target.component->processing_timeout;
  if (limit > Nanos::zero()) deadline = deadline.earlier(context_.loop().deadline_in(limit));
  target.component->counters.delivered.add();
  Result<Reply> reply = co_await context_.call(call, Buffer::copy_of(event.body), deadline);
  Attempt attempt = co_await attempt_of(std::move(reply), deadline);
  co_return Result<Attempt>(std::move(attempt));
}

Task<Attempt> Deliverer::attempt_of(Result<Reply> reply, Deadline deadline) {
  if (!reply) {
    Attempt attempt{Attempt::Kind::kFailed, 0, reply.error().message};
    const Errc code = reply.error().code;
    const bool nothing_sent = code == Errc::kUnavailable || code == Errc::kFailedPrecondition ||
                              code == Errc::kResourceExhausted || code == Errc::kPermissionDenied;
    // A link that breaks says kUnavailable as well: then the app may have got the message, and gets
    // it again, as after any broken connection.
    if (nothing_sent) attempt.kind = Attempt::Kind::kAway;
    if (code == Errc::kUnknown || code == Errc::kCancelled) attempt.kind = Attempt::Kind::kBroken;
    co_return attempt;
  }
  std::string body(reply->head.payload());
  if (reply->head.streamed()) {
    auto rest = co_await reply->rest.all(kAnswerLimit, deadline);
    if (rest) {
      body += *rest;
    } else if (rest.error().code == Errc::kOutOfRange) {
      body.clear();  // no verdict is that long
    } else {
      co_return Attempt{Attempt::Kind::kBroken, 0, rest.error().message};
    }
  }
  co_return read_app_answer(reply->head->status(), body);
}

Attempt read_app_answer(std::uint16_t status, std::string_view body) {
  if (status == 404) return {Attempt::Kind::kDrop, status, "the app has no such route (404)"};
  if (status < 200 || status > 299) {
    return {Attempt::Kind::kFailed, status, fmt::format("the app answered {}", status)};
  }
  const auto parsed = parse_json(body);
  if (!parsed || !parsed->is_object()) return {Attempt::Kind::kSuccess, status, {}};
  const JsonValue* const verdict = parsed->find_ignoring_case("status");
  if (verdict == nullptr || !verdict->is_string()) return {Attempt::Kind::kSuccess, status, {}};
  if (verdict->text.empty() || verdict->text == "SUCCESS") return {Attempt::Kind::kSuccess, status, {}};
  if (verdict->text == "DROP") return {Attempt::Kind::kDrop, status, "the app said DROP"};
  return {Attempt::Kind::kFailed, status, fmt::format("the app said {}", verdict->text.substr(0, 64))};
}

Task<Verdict> Deliverer::settle(const DeliveryTarget& target, Delivery& delivery, Attempt outcome) {
  PubsubCounters& counters = target.component->counters;
  if (outcome.kind == Attempt::Kind::kBroken) {
    if (delivery.attempt < kBrokenLimit) {
      // Counted, so that a message that kills the app each time comes to an end.
      counters.retried.add();
      co_return Verdict::kRetrySoon;
    }
    outcome.kind = Attempt::Kind::kFailed;
  }
  switch (outcome.kind) {
    case Attempt::Kind::kSuccess:
      counters.acknowledged.add();
      co_return Verdict::kAcknowledge;
    case Attempt::Kind::kDrop:
      counters.dropped.add();
      co_return co_await dead_letter(target, delivery, Verdict::kAcknowledge, std::move(outcome.reason));
    case Attempt::Kind::kAway:
      co_return Verdict::kGiveBack;
    case Attempt::Kind::kHeld:
      counters.retried.add();
      co_return Verdict::kRetry;
    default:
      co_return co_await dead_letter(target, delivery, Verdict::kRetry, std::move(outcome.reason));
  }
}

Task<Verdict> Deliverer::dead_letter(const DeliveryTarget& target, Delivery& delivery, Verdict otherwise,
                                     std::string reason) {
  PubsubComponent& component = *target.component;
  const config::Subscription& subscription = target.subscription;
  log_limit_.log(LogLevel::kWarning,
                 fmt::format("app '{}', component '{}', topic '{}': a message is not taken (attempt {}): {}",
                             target.app, subscription.pubsub, subscription.topic, delivery.attempt, reason));
  if (subscription.dead_letter_topic.empty()) {
    if (otherwise != Verdict::kAcknowledge) component.counters.retried.add();
    co_return otherwise;
  }
  std::string topic = component.rules.broker_topic(subscription.dead_letter_topic);
  const Deadline deadline = context_.loop().deadline_in(kDeadLetterTimeout);
  const auto published = co_await component.broker->publish(std::move(topic), delivery.message, deadline);
  if (published) {
    component.counters.dead_lettered.add();
    co_return Verdict::kAcknowledge;
  }
  log_limit_.log(LogLevel::kError, fmt::format("app '{}': dead-letter topic '{}' does not take a message: {}",
                                               target.app, subscription.dead_letter_topic, published.error().message));
  component.counters.retried.add();
  co_return Verdict::kRetry;
}

std::string child_traceparent(std::string_view parent) {
  // version(2)-trace id(32)-span id(16)-flags(2)
  if (parent.size() < 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-') return {};
  const std::string_view trace = parent.substr(3, 32);
  const std::string_view flags = parent.substr(53, 2);
  const bool whole = is_hex(trace) && is_hex(flags) && is_hex(parent.substr(36, 16)) && is_hex(parent.substr(0, 2));
  if (!whole || parent.starts_with("ff") || trace.find_first_not_of('0') == std::string_view::npos) return {};
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("00-{}-{:016x}-{}", trace, random() | 1, flags);
}

}  // namespace caisson::pubsub
