#pragma once

#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/pubsub/broker.hpp"

namespace caisson::pubsub::testing {

/// A directory that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "caisson-pubsub-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What a subscriber got, and what it does with it: by default it acknowledges at once. Scripted
/// verdicts are used up first; a held one waits until released.
struct Subscriber {
  std::vector<std::string> received;
  std::vector<std::uint32_t> attempts;
  std::map<std::string, std::deque<Verdict>> script;  // by data
  bool hold = false;
  std::string hold_one;  // data of the only message to wait with
  std::size_t running = 0;
  std::size_t most_running = 0;
  WaitQueue released;
  std::unique_ptr<Subscription> subscription;

  void release() {
    hold = false;
    released.wake_all();
  }

  Handler handler(EventLoop& loop) {
    return [this, &loop](Delivery delivery) { return take(loop, std::move(delivery)); };
  }

 private:
  Task<Verdict> take(EventLoop& loop, Delivery delivery) {
    received.push_back(delivery.message.data);
    attempts.push_back(delivery.attempt);
    most_running = std::max(most_running, ++running);
    const bool held = delivery.message.data == hold_one && !hold_one.empty();
    while (hold || held) co_await released.wait(loop, Deadline::never());
    --running;
    std::deque<Verdict>& verdicts = script[delivery.message.data];
    if (verdicts.empty()) co_return Verdict::kAcknowledge;
    const Verdict verdict = verdicts.front();
    verdicts.pop_front();
    co_return verdict;
  }
};

}  // namespace caisson::pubsub::testing
