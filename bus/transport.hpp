#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bus/address.hpp"
#include "bus/event_loop.hpp"
#include "bus/lane.hpp"
#include "bus/result.hpp"
#include "bus/shm_spin.hpp"
#include "bus/zmq_lane.hpp"

namespace caisson {

/// Makes the lane that an address names, so that who uses lanes knows none of them. One per event
/// loop, owned by main; dies before the loop and after its inproc listeners. Starts ZeroMQ's threads with the
/// first address that needs them.
///
/// Errors of both functions: kInvalidArgument (the text is no address), kResourceExhausted (descriptors,
/// memory).
class Transport {
 public:
  explicit Transport(EventLoop& loop, Spin spin = Spin::kAuto) : loop_(loop), spin_(spin) {}
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// A listener that does not listen yet.
  Result<std::unique_ptr<LaneListener>> make_listener(std::string_view address);
  /// A lane that may not be connected yet: nobody there is told by on_down(), except for inproc
  /// (kUnavailable). A lane never connects again; whoever wants that makes a new one.
  Result<std::unique_ptr<Lane>> connect(std::string_view address);

 private:
  friend class InprocListener;
  ZmqContext& zmq();

  EventLoop& loop_;
  Spin spin_;
  std::optional<ZmqContext> zmq_;
  std::map<std::string, class InprocListener*> inproc_;
};

}  // namespace caisson
