#include "capabilities/pubsub/event_streams.hpp"

#include <fmt/format.h>

#include <utility>

#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/publish_error.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::size_t kMessageLimit = std::size_t{1} << 20;
constexpr Nanos kFirstMessageTimeout = std::chrono::seconds(30);
constexpr Nanos kSubscribeTimeout = std::chrono::seconds(20);
constexpr std::string_view kPath = "/";  // of the events on a stream

sdk::RpcStatus plain(Errc code, std::string message) { return {code, std::move(message), {}}; }

}  // namespace

/// Keeps a stream among the open ones while its call is served, also when the call is cut off.
class EventStreams::Registration {
 public:
  Registration(EventStreams& streams, std::string app, std::shared_ptr<EventStream> stream)
      : streams_(streams), id_(streams.next_id_++), stream_(stream) {
    streams_.open_.emplace(id_, Open{std::move(app), std::move(stream)});
    streams_.changed_();
  }
  ~Registration() {
    stream_->close(EventStream::Ending::kBroken);
    streams_.open_.erase(id_);
    streams_.changed_();
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  EventStreams& streams_;
  std::uint64_t id_;
  std::shared_ptr<EventStream> stream_;
};

EventStreams::EventStreams(EventLoop& loop, sdk::ComponentSet& components, std::function<void()> changed)
    : loop_(loop), components_(components), changed_(std::move(changed)) {}

Route EventStreams::route() {
  Route route = sdk::dapr_rpc("SubscribeTopicEventsAlpha1", "subscribe", "v1alpha1");
  route.rpc = Rpc::kStream;
  route.streaming = true;
  route.resumable = true;
  route.selector = "1.1";  // initial_request.pubsub_name
  return route;
}

Result<config::Subscription> subscription_of(const dapr::proto::runtime::v1::SubscribeTopicEventsRequestAlpha1& first) {
  if (!first.has_initial_request()) return Error{Errc::kUnknown, "the first message must be an initial_request"};
  const auto& asked = first.initial_request();
  if (asked.pubsub_name().empty()) return Error{Errc::kUnknown, "initial_request: pubsub_name is required"};
  if (asked.topic().empty()) return Error{Errc::kUnknown, "initial_request: topic is required"};
  config::Subscription subscription;
  subscription.pubsub = asked.pubsub_name();
  subscription.topic = asked.topic();
  subscription.default_path = kPath;
  subscription.dead_letter_topic = asked.dead_letter_topic();
  subscription.metadata.insert(asked.metadata().begin(), asked.metadata().end());
  return subscription;
}

Task<void> EventStreams::serve(sdk::Request request) {
  sdk::RpcReader reader(request, kMessageLimit);
  auto reading = read(reader, loop_.deadline_in(kFirstMessageTimeout));
  auto first = co_await std::move(reading);
  auto asked = first ? subscription_of(first->value_or(Message())) : Result<config::Subscription>(first.error());
  sdk::RpcStatus refusal;
  if (asked) {
    auto checking = check(std::string(request.app()), *asked);
    refusal = co_await std::move(checking);
  } else {
    refusal = plain(asked.error().code, asked.error().message);
  }
  if (!refusal.ok()) {
    auto refusing = sdk::refuse_stream(std::move(request), std::move(refusal));
    co_await std::move(refusing);
    co_return;
  }

  const auto stream = std::make_shared<EventStream>(loop_, *std::move(asked));
  const Registration registration(*this, std::string(request.app()), stream);
  auto subscribing = stream->until_subscribed(loop_.deadline_in(kSubscribeTimeout));
  const auto subscribed = co_await std::move(subscribing);
  if (!subscribed) {
    const Errc code = draining_ ? Errc::kUnavailable : Errc::kUnknown;
    auto refusing = sdk::refuse_stream(std::move(request), plain(code, subscribed.error().message));
    co_await std::move(refusing);
    co_return;
  }

  dapr::proto::runtime::v1::SubscribeTopicEventsResponseAlpha1 begun;
  begun.mutable_initial_response();
  const bool resumed = !request.header(sdk::kResumeToken).empty();
  Buffer opening(resumed ? std::string() : sdk::rpc_frame(begun.SerializeAsString()));
  const Field token[] = {{sdk::kResumeToken, "1"}};  // whoever has it may go on: the broker keeps the position
  Envelope head;
  head.headers = token;
  auto answering = request.incoming().reply_streamed(head, std::move(opening));
  auto body = co_await std::move(answering);
  if (!body) co_return;  // nobody waits for it any more
  stream->open(*std::move(body));

  auto taking = take_answers(reader, *stream);
  const sdk::RpcStatus end = co_await std::move(taking);
  stream->close(end.ok() ? EventStream::Ending::kByApp : EventStream::Ending::kBroken);
  auto ending = stream->finish(sdk::rpc_end(end));
  co_await std::move(ending);
}

Task<Result<std::optional<EventStreams::Message>>> EventStreams::read(sdk::RpcReader& reader, Deadline deadline) {
  auto reading = reader.next(deadline);
  CO_ASSIGN(const std::optional<std::string> bytes, co_await std::move(reading));
  if (!bytes) co_return std::optional<Message>();
  Message message;
  CO_TRY(sdk::parse_message(*bytes, message));
  co_return std::optional<Message>(std::move(message));
}

Task<sdk::RpcStatus> EventStreams::check(std::string app, config::Subscription subscription) {
  if (draining_) co_return plain(Errc::kUnavailable, "the runtime is shutting down");
  if (open_.size() >= kMostStreams) {
    co_return plain(Errc::kResourceExhausted,
                    fmt::format("{} streaming subscriptions are open; no more are allowed", kMostStreams));
  }
  auto finding = components_.find_when_ready(subscription.pubsub, app, loop_.deadline_in(kSubscribeTimeout));
  const auto found = co_await std::move(finding);
  if (found.component != nullptr) {
    const auto& component = static_cast<const PubsubComponent&>(*found.component);
    if (component.rules.may_subscribe(app, subscription.topic)) co_return sdk::RpcStatus{};
    co_return plain(Errc::kUnknown, fmt::format("subscription to topic '{}' on pubsub '{}' is not allowed",
                                                subscription.topic, subscription.pubsub));
  }
  if (found.absent == sdk::ComponentSet::Absent::kNotReady) {
    co_return plain(Errc::kUnknown, fmt::format("pubsub '{}' is not ready: {}", subscription.pubsub, found.reason));
  }
  Publish names;
  names.pubsub = subscription.pubsub;
  const PublishError error = describe(names, PublishResult{PublishFailure::kNotFound, {}});
  co_return sdk::rpc_status(error.code, error.error);
}

Task<sdk::RpcStatus> EventStreams::take_answers(sdk::RpcReader& reader, EventStream& stream) {
  while (true) {
    auto reading = read(reader, Deadline::never());
    const auto message = co_await std::move(reading);
    if (!message) co_return plain(message.error().code, message.error().message);
    if (!*message) co_return sdk::RpcStatus{};
    if (!(*message)->has_event_processed()) {
      co_return plain(Errc::kUnknown, "after the initial_request only event_processed is understood");
    }
    stream.processed((*message)->event_processed());
  }
}

void EventStreams::drain() {
  draining_ = true;
  for (const auto& [id, open] : open_) open.stream->fail({Errc::kUnavailable, "the runtime is shutting down"});
}

}  // namespace caisson::pubsub
