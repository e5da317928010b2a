#include "bench/programs/measure.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace caisson::bench {
namespace {

[[noreturn]] void usage(const std::string& wrong, std::initializer_list<std::string_view> whats, bool takes_address) {
  std::string known;
  for (const std::string_view what : whats) known += (known.empty() ? "" : "|") + std::string(what);
  std::fprintf(stderr, "%s\nusage: %s%s [--cpus A,B] [--seconds S] [--size BYTES] [--spin]\n", wrong.c_str(),
               known.c_str(), takes_address ? " ADDRESS" : "");
  std::exit(2);
}

std::int64_t nanos(clockid_t which) {
  timespec time{};
  ::clock_gettime(which, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

double percentile(const std::vector<std::uint32_t>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(share * static_cast<double>(sorted.size())))];
}

}  // namespace

Options parse(int count, char** arguments, std::initializer_list<std::string_view> whats, bool takes_address) {
  Options options;
  std::vector<std::string> plain;
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    if (!word.starts_with("--")) {
      plain.push_back(word);
      continue;
    }
    if (word == "--spin") {
      options.spin = true;
      continue;
    }
    if (i + 1 == count) usage(word + " needs a value", whats, takes_address);
    const char* value = arguments[++i];
    char rest = 0;
    bool understood = false;
    if (word == "--cpus")
      understood = std::sscanf(value, "%d,%d%c", &options.cpus[0], &options.cpus[1], &rest) == 2;
    else if (word == "--seconds")
      understood = std::sscanf(value, "%lf%c", &options.seconds, &rest) == 1 && options.seconds > 0;
    else if (word == "--size")
      understood = std::sscanf(value, "%zu%c", &options.size, &rest) == 1 && options.size >= 8;
    if (!understood) usage(word + " " + value + " is not understood", whats, takes_address);
  }
  if (plain.size() != (takes_address ? 2 : 1)) usage("one thing to measure is needed", whats, takes_address);
  if (std::find(whats.begin(), whats.end(), plain[0]) == whats.end())
    usage(plain[0] + " is not known", whats, takes_address);
  options.what = plain[0];
  if (takes_address) options.address = plain[1];
  return options;
}

void pin(int cpu, int pid) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(pid, sizeof set, &set) == 0) return;
  std::fprintf(stderr, "cannot run on CPU %d\n", cpu);
  std::exit(1);
}

std::int64_t now_ns() { return nanos(CLOCK_MONOTONIC); }
std::int64_t cpu_ns() { return nanos(CLOCK_PROCESS_CPUTIME_ID); }

RoundTrips::RoundTrips(double seconds)
    : counted_from_(now_ns() + static_cast<std::int64_t>(seconds * 1e8)),
      until_(counted_from_ + static_cast<std::int64_t>(seconds * 1e9)) {
  spans_.reserve(1 << 22);
}

bool RoundTrips::begin() {
  began_ = now_ns();
  if (cpu_began_ < 0 && began_ >= counted_from_) cpu_began_ = cpu_ns();
  return began_ < until_;
}

void RoundTrips::end() {
  if (cpu_began_ < 0) return;
  spans_.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(now_ns() - began_, UINT32_MAX)));
}

std::string RoundTrips::json() {
  const double count = static_cast<double>(spans_.size());
  const double cpu = static_cast<double>(cpu_ns() - cpu_began_) / 1e3;
  double sum = 0;
  for (const std::uint32_t span : spans_) sum += span;
  std::sort(spans_.begin(), spans_.end());
  return json_of({{"round_trips", count},
                  {"mean_us", count > 0 ? sum / count / 1e3 : 0},
                  {"p50_us", percentile(spans_, 0.50) / 1e3},
                  {"p99_us", percentile(spans_, 0.99) / 1e3},
                  {"cpu_us", count > 0 ? cpu / count : 0}});
}

std::string json_of(std::initializer_list<std::pair<std::string_view, double>> members) {
  std::string text = "{";
  for (const auto& [name, value] : members) {
    char number[64];
    std::snprintf(number, sizeof number, "%.10g", value);
    text += (text.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":" + number;
  }
  return text + "}";
}

void* shared_memory(std::size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) return memory;
  std::perror("mmap");
  std::exit(1);
}

int fork_bound_to_parent() {
  const int pid = ::fork();
  if (pid == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (pid >= 0) return pid;
  std::perror("fork");
  std::exit(1);
}

void end_child() { ::_exit(0); }

void end_and_reap(int pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace caisson::bench
