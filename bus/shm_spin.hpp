#pragma once

#include <chrono>
#include <cstdint>

namespace caisson {

/// Whether a lane may look for an answer in a loop for some microseconds before its thread sleeps.
enum class Spin : std::uint8_t {
  kAuto,  // as kOn where there are more than two CPUs, else as kOff
  kOff,
  kOn,
};

}  // namespace caisson

namespace caisson::shm {

/// Decides whether to spin: between two CPUs an answer that comes within microseconds is worth it, because
/// waking a thread there costs 30 to 40; on one CPU a spin keeps the peer from answering. One thread.
class SpinRule {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Span = std::chrono::steady_clock::duration;
  static constexpr Span kLongest = std::chrono::microseconds(20);
  /// Of a try: long enough for a peer that has to be woken first.
  static constexpr Span kLongestTry = std::chrono::microseconds(60);

  /// `cpus`: how many this process may run on.
  SpinRule(Spin spin, unsigned cpus) : enabled_(cpus > 1 && (spin == Spin::kOn || (spin == Spin::kAuto && cpus > 2))) {}

  [[nodiscard]] bool enabled() const { return enabled_; }
  /// How long it is worth to spin from `now` on, with the peer last seen on `peer_cpu`; zero: not at all.
  [[nodiscard]] Span allows(Time now, unsigned own_cpu, unsigned peer_cpu);
  /// What came of a spin.
  void spun(Time from, Time to, bool found);
  /// How long an answer took that was waited for, and whether the thread slept meanwhile.
  void waited(Span span, bool slept);

 private:
  static constexpr Span kWindow = std::chrono::milliseconds(10);
  /// Of kWindow, for spins in which nothing came.
  static constexpr Span kMostInVain = kWindow / 5;
  /// Every so often it is tried although waits were long, and if something came, some times more: two sides
  /// that sleep see each other's waking up, and only a side that stays awake shows the other how quick it is.
  static constexpr std::uint32_t kTryEvery = 64;
  static constexpr std::uint32_t kTries = 16;
  /// What waking this thread on another CPU adds to a wait, roughly.
  static constexpr Span kWakeCost = std::chrono::microseconds(50);

  bool enabled_;
  Span usual_wait_{};
  Time window_begin_{};
  Span in_vain_{};
  std::uint32_t not_tried_ = 0;
  std::uint32_t tries_left_ = 0;
};

/// The CPUs this process may run on.
unsigned usable_cpus();
unsigned current_cpu();
/// Tells the CPU that this is a spin.
void relax_cpu();

}  // namespace caisson::shm
