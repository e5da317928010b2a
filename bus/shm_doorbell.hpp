#pragma once

#include <atomic>
#include <cstdint>

namespace caisson::shm {

struct FullFence {
  void operator()() const { std::atomic_thread_fence(std::memory_order_seq_cst); }
};

/// The sleeping half of a doorbell: says in its own memory whether it sleeps. `Word` and `Fence` are
/// parameters so that a test can run all interleavings of it.
///
/// The rule for both halves is the same: write your own word, full fence, look at the other's. So one of
/// the two sees the other, and either the sleeper stays awake or the other rings.
template <class Word = std::atomic<std::uint32_t>, class Fence = FullFence>
class Sleeper {
 public:
  explicit Sleeper(Word& wake, Fence fence = {}) : wake_(wake), fence_(fence) {}

  /// From here on one is rung. Look for work once more before sleeping.
  void announce() {
    if ((value_ & 1) == 0) wake_.store(++value_, std::memory_order_relaxed);
    fence_();
  }
  void awake() {
    if ((value_ & 1) != 0) wake_.store(++value_, std::memory_order_release);
  }

 private:
  Word& wake_;
  Fence fence_;
  std::uint32_t value_ = 0;
};

/// The other half: called after something was written for the sleeper.
template <class Word = const std::atomic<std::uint32_t>, class Fence = FullFence>
class Ringer {
 public:
  explicit Ringer(Word& wake, Fence fence = {}) : wake_(wake), fence_(fence) {}

  /// True when the sleeper sleeps and was not yet rung in this sleep.
  [[nodiscard]] bool must_ring() {
    fence_();
    const std::uint32_t value = wake_.load(std::memory_order_relaxed);
    if ((value & 1) == 0 || value == rung_) return false;
    rung_ = value;
    return true;
  }

 private:
  Word& wake_;
  Fence fence_;
  std::uint32_t rung_ = 0;
};

}  // namespace caisson::shm
