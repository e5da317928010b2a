#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/task.hpp"
#include "capabilities/pubsub/event.hpp"

namespace caisson::pubsub {

/// How one attempt to hand an event over ended.
struct Attempt {
  enum class Kind : std::uint8_t {
    kSuccess,
    kDrop,     // the app does not want it: DROP, 404
    kIgnored,  // the app has nothing that takes events: as success, also where there is a dead-letter topic
    kFailed,   // RETRY, an error, no answer in time
    kBroken,   // the connection broke after the event was sent
    kAway,     // the app could not be asked; nothing was sent
    kHeld,     // the circuit breaker is open; the app was not asked
  };
  Kind kind = Kind::kSuccess;
  /// The app's HTTP status, or gRPC's; 0: it gave none.
  std::uint16_t status = 0;
  std::string reason;
};

/// Hands events to one subscriber, in the protocol it speaks. One thread; outlives its tasks.
class Receiver {
 public:
  virtual ~Receiver() = default;

  /// One attempt; ends by the deadline. The event outlives the task.
  virtual Task<Attempt> take(const Event& event, Deadline deadline) = 0;
  /// The same with several events of one path in one call: an Attempt for each, in their order.
  virtual Task<std::vector<Attempt>> take_all(std::vector<const Event*> events, Deadline deadline) = 0;
};

}  // namespace caisson::pubsub
