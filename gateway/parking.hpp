#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::gateway {

/// Where requests wait for an instance of a process (a capability's own, or a compartment's) that has
/// none. Bounded in entries per process and in bytes over all. One thread; outlives its waiters' tasks.
class Parking {
 public:
  struct Limits {
    std::size_t entries = 8192;
    std::size_t bytes = 64 * 1024 * 1024;
  };

  Parking(EventLoop& loop, Limits limits) : loop_(loop), limits_(limits) {}
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;

  /// Waits until wake(process). kUnavailable: too many are parked, or none came in time.
  Task<Result<void>> wait(std::string_view process, std::size_t bytes, Deadline until);
  void wake(std::string_view process);
  /// What is known has changed: everybody looks again.
  void wake_all();
  [[nodiscard]] std::size_t parked(std::string_view process) const;

 private:
  struct Lot {
    WaitQueue arrived;
    std::size_t count = 0;
  };
  struct Place;

  EventLoop& loop_;
  Limits limits_;
  std::size_t bytes_ = 0;
  std::map<std::string, Lot, std::less<>> lots_;
};

}  // namespace caisson::gateway
