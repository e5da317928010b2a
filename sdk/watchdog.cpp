#include "sdk/watchdog.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "bus/log.hpp"

namespace caisson::sdk {

namespace {

constexpr int kChecks = 5;
constexpr int kExitCode = 70;  // EX_SOFTWARE

}  // namespace

Watchdog::Watchdog(const EventLoop& loop, Nanos limit) : loop_(loop), limit_(limit), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void Watchdog::watch() {
  Nanos seen{};
  int times = 0;
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, limit_ / kChecks, [this] { return stopping_; })) {
    const Nanos busy_since = loop_.busy_since();
    times = busy_since != Nanos::zero() && busy_since == seen ? times + 1 : 0;
    seen = busy_since;
    if (times < kChecks) continue;
    log(LogLevel::kError,
        fmt::format("the event loop has not turned for {} ms: ending this process",
                    std::chrono::duration_cast<std::chrono::milliseconds>(SystemClock().now() - busy_since).count()));
    ::_exit(kExitCode);
  }
}

}  // namespace caisson::sdk
