#include "bus/shm_spin.hpp"

#include <sched.h>

#include <algorithm>

namespace caisson::shm {

SpinRule::Span SpinRule::allows(Time now, unsigned own_cpu, unsigned peer_cpu) {
  if (!enabled_ || own_cpu == peer_cpu) return {};
  if (now - window_begin_ > kWindow) {
    window_begin_ = now;
    in_vain_ = {};
  }
  if (in_vain_ + kLongestTry > kMostInVain) return {};
  if (usual_wait_ <= kLongest) return kLongest;
  if (tries_left_ == 0) {
    if (++not_tried_ < kTryEvery) return {};
    not_tried_ = 0;
    tries_left_ = 1;
  }
  --tries_left_;
  return kLongestTry;
}

void SpinRule::spun(Time from, Time to, bool found) {
  if (!found)
    in_vain_ += to - from;
  else if (usual_wait_ > kLongest && tries_left_ == 0)
    tries_left_ = kTries;
}

void SpinRule::waited(Span span, bool slept) {
  if (slept) span = std::max(span - kWakeCost, Span::zero());
  // A wait of a second says no more than one of a millisecond.
  usual_wait_ += (std::min<Span>(span, 50 * kLongest) - usual_wait_) / 8;
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&set));
}

unsigned current_cpu() {
  const int cpu = ::sched_getcpu();
  return cpu < 0 ? 0 : static_cast<unsigned>(cpu);
}

void relax_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace caisson::shm
