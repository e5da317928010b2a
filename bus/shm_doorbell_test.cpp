// The doorbell loses no wake-up: every interleaving of a small model, with the store buffers of the
// machine, and two threads over one mapping (which ThreadSanitizer watches in its build).

#include "bus/shm_doorbell.hpp"

#include <gtest/gtest.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "bus/testing/sanitizers.hpp"

namespace caisson::shm {
namespace {

/// Two programs over shared words, of which each sees its own stores at once and the other's only when
/// they have left its store buffer (as on x86). run() goes through all orders of their steps.
class Machine {
 public:
  struct Word {
    Machine* machine;
    std::size_t index;
    void store(std::uint32_t value, std::memory_order) { machine->store(index, value); }
    [[nodiscard]] std::uint32_t load(std::memory_order) const { return machine->load(index); }
  };
  struct Fence {
    Machine* machine = nullptr;
    void operator()() const { machine->fence(); }
  };
  static constexpr std::size_t kWords = 2;
  static constexpr std::size_t kPrograms = 2;

  [[nodiscard]] Word word(std::size_t index) { return {this, index}; }
  [[nodiscard]] std::uint32_t in_memory(std::size_t index) const { return memory_[index]; }

  /// False at the first order after which `good` is false. `besides` is what a program knows besides what
  /// it has loaded; from the same state on nothing is gone through twice. Counts the states.
  bool run(const std::array<std::function<void()>, kPrograms>& programs, const std::function<std::uint64_t()>& besides,
           const std::function<bool()>& good, std::size_t& states) {
    std::vector<Choice> path;
    known_.clear();
    while (true) {
      const bool to_the_end = one_order(programs, besides, path);
      states = known_.size();
      if (to_the_end && !good()) return false;
      while (!path.empty() && path.back().taken + 1 == path.back().count) path.pop_back();
      if (path.empty()) return true;
      ++path.back().taken;
    }
  }

 private:
  struct Choice {
    std::size_t taken;
    std::size_t count;
  };
  struct Program {
    const std::function<void()>* body = nullptr;
    ucontext_t context{};
    std::vector<char> stack = std::vector<char>(256 * 1024);
    std::deque<std::pair<std::size_t, std::uint32_t>> buffer;
    std::vector<std::uint32_t> history;  // kStep for each step, and what the loads gave
    bool done = false;
  };

  [[nodiscard]] std::vector<std::uint64_t> state(std::uint64_t besides) const {
    std::vector<std::uint64_t> all(memory_.begin(), memory_.end());
    all.push_back(besides);
    for (const Program& program : programs_) {
      all.push_back(program.history.size());
      all.insert(all.end(), program.history.begin(), program.history.end());
      all.push_back(program.buffer.size());
      for (const auto& [index, value] : program.buffer) all.push_back(std::uint64_t{index} << 32 | value);
    }
    return all;
  }

  /// False when it came to a state from which all was gone through before.
  bool one_order(const std::array<std::function<void()>, kPrograms>& programs,
                 const std::function<std::uint64_t()>& besides, std::vector<Choice>& path) {
    memory_.fill(0);
    for (std::size_t i = 0; i < kPrograms; ++i) {
      Program& program = programs_[i];
      program.body = &programs[i];
      program.done = false;
      program.buffer.clear();
      program.history.clear();
      ::getcontext(&program.context);
      program.context.uc_stack.ss_sp = program.stack.data();
      program.context.uc_stack.ss_size = program.stack.size();
      program.context.uc_link = &scheduler_;
      running_now = this;
      ::makecontext(&program.context, reinterpret_cast<void (*)()>(&Machine::begin), 0);
    }
    for (std::size_t depth = 0;; ++depth) {
      // A step is one operation of a program, or one store that reaches the memory.
      std::array<int, 2 * kPrograms> steps{};
      std::size_t count = 0;
      for (int i = 0; i < static_cast<int>(kPrograms); ++i) {
        if (!programs_[i].done) steps[count++] = i;
        if (!programs_[i].buffer.empty()) steps[count++] = -1 - i;
      }
      if (count == 0) return true;
      if (depth == path.size()) {
        if (!known_.insert(state(besides())).second) return false;
        path.push_back({0, count});
      }
      const int step = steps[path[depth].taken];
      if (step < 0)
        drain_one(programs_[static_cast<std::size_t>(-1 - step)]);
      else
        resume(static_cast<std::size_t>(step));
    }
  }

  static constexpr std::uint32_t kStep = ~std::uint32_t{0};
  static inline Machine* running_now = nullptr;
  static void begin() {
    Machine& machine = *running_now;
    Program& program = machine.programs_[machine.running_];
    (*program.body)();
    program.done = true;
  }
  void resume(std::size_t index) {
    running_ = index;
    programs_[index].history.push_back(kStep);
    ::swapcontext(&scheduler_, &programs_[index].context);
  }
  void step() { ::swapcontext(&programs_[running_].context, &scheduler_); }
  void drain_one(Program& program) {
    const auto [index, value] = program.buffer.front();
    program.buffer.pop_front();
    memory_[index] = value;
  }

  void store(std::size_t index, std::uint32_t value) {
    step();
    programs_[running_].buffer.emplace_back(index, value);
  }
  std::uint32_t load(std::size_t index) {
    step();
    const auto& buffer = programs_[running_].buffer;
    const auto own = std::find_if(buffer.rbegin(), buffer.rend(), [&](const auto& one) { return one.first == index; });
    const std::uint32_t value = own == buffer.rend() ? memory_[index] : own->second;
    programs_[running_].history.push_back(value);
    return value;
  }
  void fence() {
    step();
    while (!programs_[running_].buffer.empty()) drain_one(programs_[running_]);
  }

  ucontext_t scheduler_{};
  std::array<Program, kPrograms> programs_;
  std::size_t running_ = 0;
  std::array<std::uint32_t, kWords> memory_{};
  std::set<std::vector<std::uint64_t>> known_;
};

struct NoFence {
  void operator()() const {}
};

/// A producer that publishes twice, and a consumer that reads and sleeps. True when in no order the
/// consumer sleeps for ever beside something unread.
template <class Fence>
bool nobody_sleeps_for_ever(Machine& machine, Fence fence, std::size_t& states) {
  using Word = Machine::Word;
  constexpr std::uint32_t kMessages = 2;
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Word tail = machine.word(0);
  Word wake = machine.word(1);
  int rings = 0;  // the bell is the kernel's: a ring is never late
  int heard = 0;  // of them before the last sleep
  std::uint32_t read = 0;
  bool asleep = false;
  const auto producer = [&] {
    Ringer<Word, Fence> ringer(wake, fence);
    for (std::uint32_t i = 1; i <= kMessages; ++i) {
      tail.store(i, kRelaxed);
      if (ringer.must_ring()) ++rings;
    }
  };
  const auto consumer = [&] {
    rings = heard = 0;
    read = 0;
    asleep = false;
    Sleeper<Word, Fence> sleeper(wake, fence);
    for (std::uint32_t sleeps = 0; sleeps <= kMessages; ++sleeps) {
      read = tail.load(kRelaxed);
      sleeper.announce();
      if (tail.load(kRelaxed) == read) {
        asleep = true;
        return;
      }
      heard = rings;  // a loop that does not sleep still takes what rang
      sleeper.awake();
    }
  };
  // The sleep at the end is looked at: it ends well if it was rung in it, or nothing is unread.
  const auto besides = [&] { return static_cast<std::uint64_t>(rings) << 32 | static_cast<std::uint64_t>(heard); };
  return machine.run(
      {producer, consumer}, besides, [&] { return !asleep || rings > heard || machine.in_memory(0) == read; }, states);
}

#ifndef CAISSON_UNDER_TSAN  // which does not follow programs on stacks of ours
TEST(ShmDoorbellTest, InNoOrderAWakeUpIsLost) {
  Machine machine;
  std::size_t states = 0;

  EXPECT_TRUE(nobody_sleeps_for_ever(machine, Machine::Fence{&machine}, states));

  EXPECT_GT(states, 500u);
}

TEST(ShmDoorbellTest, TheModelFindsTheLostWakeUpOfADoorbellWithoutFences) {
  Machine machine;
  std::size_t states = 0;

  EXPECT_FALSE(nobody_sleeps_for_ever(machine, NoFence{}, states));
}

#endif

TEST(ShmDoorbellTest, TwoThreadsPassAllMessagesAndSleepInBetween) {
  constexpr std::uint32_t kMessages = 200'000;
  std::atomic<std::uint32_t> tail{0};
  std::atomic<std::uint32_t> wake{0};
  std::atomic<std::uint32_t> bell{0};
  std::vector<std::uint32_t> ring(kMessages);  // plain memory: published by the tail alone
  std::uint64_t sum = 0;
  std::thread consumer([&] {
    Sleeper<> sleeper(wake);
    std::uint32_t head = 0;
    while (head < kMessages) {
      const std::uint32_t heard = bell.load();
      for (const std::uint32_t end = tail.load(std::memory_order_acquire); head < end; ++head) sum += ring[head];
      if (head == kMessages) break;
      sleeper.announce();
      if (tail.load(std::memory_order_acquire) == head) bell.wait(heard);
      sleeper.awake();
    }
  });

  Ringer<> ringer(wake);
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    ring[i] = i;
    tail.store(i + 1, std::memory_order_release);
    if (ringer.must_ring()) {
      bell.fetch_add(1);
      bell.notify_one();
    }
  }
  consumer.join();

  EXPECT_EQ(sum, std::uint64_t{kMessages} * (kMessages - 1) / 2);
}

}  // namespace
}  // namespace caisson::shm
