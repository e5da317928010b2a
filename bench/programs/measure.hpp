#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caisson::bench {

/// What a program was asked to measure. `cpus` are the two sides' CPUs, -1 for "wherever the kernel puts it".
struct Options {
  std::string what;
  std::string address;
  int cpus[2] = {-1, -1};
  double seconds = 1;
  std::size_t size = 128;
  bool spin = false;
};

/// `WHAT [ADDRESS] [--cpus A,B] [--seconds S] [--size BYTES] [--spin]`; says what is wrong on stderr and
/// ends the process with 2. `whats` are the first words that the program knows.
Options parse(int count, char** arguments, std::initializer_list<std::string_view> whats, bool takes_address);

/// Keeps the calling thread, or the only thread of process `pid`, and what it starts later, on one CPU; -1 leaves it
/// free. Ends the process when it cannot.
void pin(int cpu, int pid = 0);

/// CLOCK_MONOTONIC, the same in all processes of the host.
std::int64_t now_ns();
/// CPU time of this process, all threads, user and system.
std::int64_t cpu_ns();

/// Round trips of some seconds. The first tenth of the time warms up and is not counted.
class RoundTrips {
 public:
  explicit RoundTrips(double seconds);
  /// Begins one round trip; false when the time is over.
  bool begin();
  void end();
  [[nodiscard]] std::string json();

 private:
  std::int64_t counted_from_;
  std::int64_t until_;
  std::int64_t began_ = 0;
  std::int64_t cpu_began_ = -1;
  std::vector<std::uint32_t> spans_;
};

/// `{"a":1,"b":2}` of names and numbers.
std::string json_of(std::initializer_list<std::pair<std::string_view, double>> members);

/// Memory that this process and those it forks share; zeroed, never given back.
void* shared_memory(std::size_t size);

/// Forks; the child runs `side`, and is killed with its parent. Returns the child's pid.
template <class Side>
int in_child(int cpu, Side side);

/// The parts of in_child() that need no template.
int fork_bound_to_parent();
[[noreturn]] void end_child();
void end_and_reap(int pid);

template <class Side>
int in_child(int cpu, Side side) {
  const int pid = fork_bound_to_parent();
  if (pid != 0) {
    pin(cpu, pid);  // or a parent that spins at a real-time priority would keep the child from doing it
    return pid;
  }
  pin(cpu);
  side();
  end_child();
}

}  // namespace caisson::bench
