#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "bus/event_loop.hpp"

namespace caisson::sdk {

/// A thread that ends this process when the loop has had work and has not turned for `limit`: a
/// gateway cannot kill across containers, so a stuck process must end itself.
///
/// Time the process was stopped (SIGSTOP, a suspended machine) does not count: the same turn must be
/// seen by several of the thread's own checks in a row.
class Watchdog {
 public:
  Watchdog(const EventLoop& loop, Nanos limit);
  ~Watchdog();

 private:
  void watch();

  const EventLoop& loop_;
  Nanos limit_;
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace caisson::sdk
