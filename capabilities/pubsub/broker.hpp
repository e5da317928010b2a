#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/component_set.hpp"

namespace caisson::pubsub {

/// One message handed to a subscriber.
struct Delivery {
  std::string topic;
  Message message;
  /// 1 for the first time this group gets it; grows with every kRetry and every lost process.
  std::uint32_t attempt = 1;
};

/// What becomes of a message once its handler has ended.
enum class Verdict : std::uint8_t {
  /// Done: this group never gets it again.
  kAcknowledge,
  /// It failed: again after the broker's redelivery interval.
  kRetry,
  /// It failed, but likely through no fault of its own: counted, and soon again.
  kRetrySoon,
  /// Nobody has tried (the app is away): soon again, and not counted as an attempt.
  kGiveBack,
};

/// Takes one message; as many run at once as the component or the subscription says.
using Handler = std::function<Task<Verdict>(Delivery)>;

struct SubscribeOptions {
  std::string topic;
  /// Subscribers of one group share its messages; every group gets all.
  std::string group;
  MessageMetadata metadata;
  /// Handlers that must be able to run at once, where the component says fewer: who takes messages in
  /// batches waits in each handler until the batch is done. More than 1 gives up the order.
  std::size_t at_once = 1;
};

/// One subscriber. Destroying it ends its handlers: what they held is given back.
class Subscription {
 public:
  virtual ~Subscription() = default;

  /// Takes no more messages and waits until the running handlers have ended and their verdicts are
  /// safe. Nothing is refused: what was not begun stays where it is.
  virtual Task<void> drain(Deadline deadline) = 0;
};

/// A message broker behind the pubsub capability. Each backend is one implementation.
///
/// Used on the event-loop thread only. A publish that succeeds is as durable as the broker ever
/// makes it. One that fails with kUnavailable, kResourceExhausted or kInvalidArgument was not
/// written; with kUnknown or kDeadlineExceeded it may have been.
class Broker : public sdk::Component {
 public:
  /// What differs between backends; a property of the type, not of the moment.
  struct Features {
    bool durable = true;     // keeps messages over restarts and for groups that come later
    bool redelivers = true;  // acts on kRetry and kGiveBack
    bool expires = false;    // drops messages at their time to live by itself (MESSAGE_TTL)
    bool wildcards = false;  // topics to subscribe to may end in '*'
  };
  [[nodiscard]] virtual Features features() const = 0;

  virtual Task<Result<void>> publish(std::string topic, Message message, Deadline deadline) = 0;

  /// Begins to deliver. The subscription must not outlive the broker.
  virtual Task<Result<std::unique_ptr<Subscription>>> subscribe(SubscribeOptions options, Handler handler,
                                                                Deadline deadline) = 0;

  [[nodiscard]] std::vector<std::string> capabilities() const override {
    std::vector<std::string> names;
    if (features().expires) names.emplace_back("MESSAGE_TTL");
    if (features().wildcards) names.emplace_back("SUBSCRIBE_WILDCARDS");
    return names;
  }
};

}  // namespace caisson::pubsub
