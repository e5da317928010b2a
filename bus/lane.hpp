#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bus/buffer.hpp"
#include "bus/frame.hpp"
#include "bus/result.hpp"

namespace caisson {

/// What a lane refused or lost, for /metrics.
struct LaneCounters {
  std::uint64_t frames_in = 0;
  std::uint64_t frames_out = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  /// Frames from the peer that failed verification or were too large.
  std::uint64_t refused = 0;
  /// publish() answered "full".
  std::uint64_t full = 0;
  /// Shared memory only: how often the peer was rung awake, and how often it rang.
  std::uint64_t rings = 0;
  std::uint64_t wakes = 0;
  /// Shared memory only, at the moment: pieces of own memory that the peer has not given back, bytes of
  /// own memory, and bytes of the peer's that are mapped.
  std::uint64_t lent = 0;
  std::uint64_t own_bytes = 0;
  std::uint64_t mapped_bytes = 0;
};

/// Carries frames between two processes in order, or says that it cannot: shared memory, ZeroMQ,
/// or a queue inside one process. What the frames mean is Link's business.
///
/// Used on one event loop's thread. Verifies everything it receives; one frame that fails ends the
/// lane (on_down) and is counted, never crashes. Nothing is lost silently while the lane is up.
class Lane {
 public:
  class Receiver {
   public:
    virtual void on_frame(Frame frame) = 0;
    /// A publish() that was refused for lack of room may succeed now.
    virtual void on_writable() = 0;
    /// The peer is gone or misbehaved; nothing more will come or go. Called at most once, and
    /// never from inside a call of the receiver.
    virtual void on_down(Error reason) = 0;

   protected:
    ~Receiver() = default;
  };

  virtual ~Lane() = default;

  /// Begins to deliver, never from inside this call. The receiver outlives the lane.
  virtual void start(Receiver& receiver) = 0;

  /// Memory of `size` bytes from which this lane sends without another copy. kResourceExhausted
  /// when there is none at the moment, kInvalidArgument above kMaxPayload.
  virtual Result<Buffer> loan(std::size_t size) = 0;

  /// Sends one frame. kResourceExhausted: no room, `payload` is left untouched, on_writable()
  /// follows. kUnavailable: the lane is down. kInvalidArgument: a part is too large.
  virtual Result<void> publish(const Envelope& envelope, Buffer& payload) = 0;

  [[nodiscard]] virtual const LaneCounters& counters() const = 0;
};

/// Accepts the lanes of one capability's instances: the gateway's end of a socket directory.
///
/// Used on one event loop's thread. Lanes that were handed out may go down with the listener.
class LaneListener {
 public:
  virtual ~LaneListener() = default;
  /// Called for every new peer, with a lane that has not been started.
  using Accept = std::function<void(std::unique_ptr<Lane>)>;
  /// Binds and begins to accept, once. kAlreadyExists: somebody else listens there.
  virtual Result<void> listen(Accept accept) = 0;

  /// Where it listens, in the form connect() takes; with the port that was chosen for port 0.
  /// Empty before listen().
  [[nodiscard]] virtual std::string address() const { return {}; }
  /// Over all peers, those included that never became a lane.
  [[nodiscard]] virtual LaneCounters counters() const { return {}; }
};

}  // namespace caisson
