#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "capabilities/pubsub/event_stream.hpp"
#include "dapr/proto/runtime/v1/pubsub.pb.h"
#include "sdk/component_set.hpp"
#include "sdk/request.hpp"
#include "sdk/rpc.hpp"

namespace caisson::pubsub {

/// The streaming subscriptions that apps hold open: serves SubscribeTopicEventsAlpha1. What is to run for them
/// at a broker, the owner sees in open(). One thread.
///
/// A call with the header `caisson-resume-token` goes on where an earlier instance has died: its app has had the
/// first answer already, and may answer events that are not known here.
class EventStreams {
 public:
  /// Each takes one of the requests that may be in flight to this process.
  static constexpr std::size_t kMostStreams = 100;

  struct Open {
    std::string app;
    std::shared_ptr<EventStream> stream;
  };

  /// `changed` is called when a stream came or went.
  EventStreams(EventLoop& loop, sdk::ComponentSet& components, std::function<void()> changed);

  [[nodiscard]] static Route route();
  Task<void> serve(sdk::Request request);

  [[nodiscard]] const std::map<std::uint64_t, Open>& open() const { return open_; }
  /// Ends all, and refuses new ones.
  void drain();

 private:
  class Registration;
  using Message = dapr::proto::runtime::v1::SubscribeTopicEventsRequestAlpha1;

  Task<Result<std::optional<Message>>> read(sdk::RpcReader& reader, Deadline deadline);
  /// Why the app cannot subscribe like this; OK when it can.
  Task<sdk::RpcStatus> check(std::string app, config::Subscription subscription);
  /// Takes answers until the app ends the stream or breaks its rules.
  Task<sdk::RpcStatus> take_answers(sdk::RpcReader& reader, EventStream& stream);

  EventLoop& loop_;
  sdk::ComponentSet& components_;
  std::function<void()> changed_;
  std::map<std::uint64_t, Open> open_;
  std::uint64_t next_id_ = 1;
  bool draining_ = false;
};

/// What the first message asks for; kUnknown when it is none, or lacks component or topic.
Result<config::Subscription> subscription_of(const dapr::proto::runtime::v1::SubscribeTopicEventsRequestAlpha1& first);

}  // namespace caisson::pubsub
