#pragma once

#include <cstdint>

#include "bus/event_loop.hpp"
#include "bus/file_descriptor.hpp"
#include "bus/result.hpp"

namespace caisson::shm {

/// The bell at the peer: a pipe that this side made. Its own end is its own open file, so the peer can
/// neither make a write wait (as it could with an eventfd) nor fill anything but what it drains itself.
class OutgoingBell {
 public:
  static Result<OutgoingBell> make();
  /// For the peer to read.
  [[nodiscard]] int peer_end() const { return read_end_.get(); }
  void ring();

 private:
  // Kept open: without a reader a ring would be a SIGPIPE.
  FileDescriptor read_end_;
  FileDescriptor write_end_;
};

/// The bell here, rung by the peer. Not read with every ring: a pipe wakes an edge-triggered watcher with
/// every write, and is emptied once in a while. A peer that rings for nothing is heard less and less.
class IncomingBell {
 public:
  /// `rung` says whether there was a reason to ring; `abused` that the peer does not stop.
  IncomingBell(EventLoop& loop, std::function<bool()> rung, std::function<void()> abused);
  Result<void> watch(FileDescriptor fd);
  void stop();

 private:
  void heard();
  void drain() const;
  void mute();
  void look();

  EventLoop& loop_;
  std::function<bool()> rung_;
  std::function<void()> abused_;
  FileDescriptor fd_;
  std::uint32_t undrained_ = 0;
  std::uint32_t for_nothing_ = 0;
  Nanos second_began_{};
  Nanos muted_until_{};
  std::uint32_t mutes_ = 0;
  FdWatch watch_;
  Timer timer_;
};

}  // namespace caisson::shm
