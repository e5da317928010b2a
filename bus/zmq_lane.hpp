#pragma once

#include <memory>

#include "bus/address.hpp"
#include "bus/event_loop.hpp"
#include "bus/lane.hpp"

namespace caisson {

/// ZeroMQ's context of one process: two threads and 3 MB, so it is made only where an `ipc://` or
/// `tcp://` address is used. Serves the lanes of one event loop and dies before the loop does; lanes
/// may live longer, the last of them ends ZeroMQ's threads.
class ZmqContext {
 public:
  explicit ZmqContext(EventLoop& loop);
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  ~ZmqContext();

  struct State;
  [[nodiscard]] const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

/// One ROUTER socket, a lane per peer. For ipc:// the socket file gets mode 0600, a lock file
/// `PATH.lock` beside it keeps a second process from taking the endpoint over, and a file that a
/// killed process left is replaced. The directory is the caller's.
std::unique_ptr<LaneListener> make_zmq_listener(EventLoop& loop, ZmqContext& context, Address address);

/// One DEALER socket, one lane. The lane goes down when the connection cannot be made (refused, no
/// such file or host, no answer within 5 s) or breaks; it never reconnects. publish() has no room
/// until the connection stands. A host's name is looked up by every lane anew, off the loop's thread.
Result<std::unique_ptr<Lane>> connect_zmq(EventLoop& loop, ZmqContext& context, const Address& address);

}  // namespace caisson
