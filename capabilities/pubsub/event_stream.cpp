#include "capabilities/pubsub/event_stream.hpp"

#include <utility>

#include "capabilities/pubsub/topic_event.hpp"
#include "sdk/rpc.hpp"

namespace caisson::pubsub {

namespace {

namespace rt = dapr::proto::runtime::v1;

Attempt away(std::string reason) { return {Attempt::Kind::kAway, 0, std::move(reason)}; }

}  // namespace

Task<Attempt> EventStream::take(const Event& event, Deadline deadline) {
  while (!writer_ && !closed_) {
    const Wake wake = co_await changed_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return away("the stream did not open in time");
  }
  if (closed_) co_return away("the stream has ended");
  rt::SubscribeTopicEventsResponseAlpha1 response;
  auto message = to_topic_event(event, subscription_);
  if (!message) co_return Attempt{Attempt::Kind::kFailed, 0, message.error().message};
  const std::string id = message->id();
  *response.mutable_event_message() = *std::move(message);

  const auto pending = std::make_shared<Pending>();
  if (!pending_.emplace(id, pending).second) {
    co_return Attempt{Attempt::Kind::kFailed, 0, "another event with the same id is under way"};
  }
  /// Also where this task is destroyed.
  struct Forget {
    EventStream& stream;
    const std::string& id;
    ~Forget() { stream.pending_.erase(id); }
  };
  const Forget forget{*this, id};

  auto sending = send(sdk::rpc_frame(response.SerializeAsString()), deadline);
  const auto sent = co_await std::move(sending);
  if (!sent && !pending->outcome) co_return away(sent.error().message);
  pending->sent = true;
  while (!pending->outcome) {
    const Wake wake = co_await pending->settled.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !pending->outcome) {
      co_return Attempt{Attempt::Kind::kFailed, 0, "the app did not answer in time"};
    }
  }
  co_return *pending->outcome;
}

Task<std::vector<Attempt>> EventStream::take_all(std::vector<const Event*> events, Deadline deadline) {
  std::vector<Attempt> attempts;
  for (const Event* const event : events) {
    auto taking = take(*event, deadline);
    attempts.push_back(co_await std::move(taking));
  }
  co_return attempts;
}

/// One at a time; an error means that nothing was sent.
Task<Result<void>> EventStream::send(std::string frame, Deadline deadline) {
  while (writing_) {
    const Wake wake = co_await changed_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kDeadlineExceeded, "the app does not read the stream"};
  }
  if (closed_ || !writer_) co_return Error{Errc::kUnavailable, "the stream has ended"};
  struct Writing {
    EventStream& stream;
    explicit Writing(EventStream& of) : stream(of) { stream.writing_ = true; }
    ~Writing() {
      stream.writing_ = false;
      stream.changed_.wake_all();
    }
  };
  const Writing writing(*this);
  auto sending = writer_->write(Buffer(std::move(frame)), deadline);
  co_return co_await std::move(sending);
}

void EventStream::subscribed(Result<void> result) {
  if (!subscribed_) subscribed_ = std::move(result);
  changed_.wake_all();
}

Task<Result<void>> EventStream::until_subscribed(Deadline deadline) {
  while (!subscribed_) {
    const Wake wake = co_await changed_.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !subscribed_) {
      co_return Error{Errc::kDeadlineExceeded, "the component did not subscribe in time"};
    }
  }
  co_return *subscribed_;
}

void EventStream::open(BodyWriter writer) {
  writer_ = std::move(writer);
  changed_.wake_all();
}

void EventStream::processed(const rt::SubscribeTopicEventsRequestProcessedAlpha1& answer) {
  const auto found = pending_.find(answer.id());
  if (found == pending_.end()) return;
  found->second->outcome = attempt_of(answer.status().status());
  found->second->settled.wake_all();
}

void EventStream::close(Ending ending) {
  if (std::exchange(closed_, true)) return;
  for (const auto& [id, pending] : pending_) {
    if (pending->outcome) continue;
    const bool broken = pending->sent && ending == Ending::kBroken;
    pending->outcome = Attempt{broken ? Attempt::Kind::kBroken : Attempt::Kind::kAway, 0, "the stream has ended"};
    pending->settled.wake_all();
  }
  subscribed(Error{Errc::kUnavailable, "the stream has ended"});
}

Task<void> EventStream::finish(BodyEnd end) {
  if (!writer_) co_return;
  auto ending = writer_->finish(Deadline::never(), std::move(end));
  [[maybe_unused]] const auto ended = co_await std::move(ending);
}

void EventStream::fail(Error error) {
  close(Ending::kByApp);
  if (writer_) writer_->fail(std::move(error));
}

}  // namespace caisson::pubsub
