#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/link.hpp"
#include "capabilities/pubsub/receiver.hpp"
#include "config-cache/documents.hpp"
#include "dapr/proto/runtime/v1/pubsub.pb.h"

namespace caisson::pubsub {

/// A streaming subscription: an app takes events from a gRPC stream that it holds open, and answers each by its
/// id. Two events with one id cannot be under way at once: the second fails. One thread.
///
/// When the stream ends, what was never sent is given back; what was sent and not answered counts as a broken
/// connection, because it may be why the app died. An app that ends the stream itself did not die.
class EventStream final : public Receiver {
 public:
  EventStream(EventLoop& loop, config::Subscription subscription)
      : loop_(loop), subscription_(std::move(subscription)) {}

  Task<Attempt> take(const Event& event, Deadline deadline) override;
  /// One after the other: streams know no batches.
  Task<std::vector<Attempt>> take_all(std::vector<const Event*> events, Deadline deadline) override;

  /// The broker's subscription is there, or cannot be had.
  void subscribed(Result<void> result);
  /// Waits for that; kUnavailable when close() came first.
  Task<Result<void>> until_subscribed(Deadline deadline);
  /// From here on events are sent.
  void open(BodyWriter writer);
  /// The app's answer to an event; one to an event that is not under way is passed over.
  void processed(const dapr::proto::runtime::v1::SubscribeTopicEventsRequestProcessedAlpha1& answer);

  enum class Ending : std::uint8_t { kByApp, kBroken };
  /// Takes and sends no more.
  void close(Ending ending);
  /// Says at the end how it ended; after close().
  Task<void> finish(BodyEnd end);
  /// Ends it as an exchange that failed, so that whoever holds the stream may open it elsewhere.
  void fail(Error error);

  [[nodiscard]] const config::Subscription& subscription() const { return subscription_; }

 private:
  /// An event under way.
  struct Pending {
    bool sent = false;
    std::optional<Attempt> outcome;
    WaitQueue settled;
  };
  Task<Result<void>> send(std::string frame, Deadline deadline);

  EventLoop& loop_;
  config::Subscription subscription_;
  std::optional<Result<void>> subscribed_;
  std::optional<BodyWriter> writer_;
  bool writing_ = false;
  bool closed_ = false;
  std::map<std::string, std::shared_ptr<Pending>, std::less<>> pending_;  // by the event's id
  WaitQueue changed_;                                                     // opened, subscribed, closed, written
};

}  // namespace caisson::pubsub
