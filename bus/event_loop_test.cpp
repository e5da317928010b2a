#include "bus/event_loop.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "bus/task_scope.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"

namespace caisson {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class EventLoopTest : public ::testing::Test {
 protected:
  EventLoopTest() : loop_(clock_), scope_(loop_) {}

  void settle() {
    while (loop_.turn(Nanos::zero())) {
    }
  }
  static Task<void> wait_for(WaitQueue& queue, EventLoop& loop, Deadline deadline, int name, std::vector<int>& woken) {
    const Wake why = co_await queue.wait(loop, deadline);
    woken.push_back(why == Wake::kNotified ? name : -name);
  }

  testing::FakeClock clock_;
  EventLoop loop_;
  WaitQueue queue_;
  std::vector<int> woken_;
  TaskScope scope_;
};

TEST_F(EventLoopTest, TimersExpireInTheOrderOfTheirMoments) {
  std::vector<int> expired;
  std::vector<std::unique_ptr<Timer>> timers;
  for (const int at : {5, 1, 4, 2, 3}) {
    timers.push_back(std::make_unique<Timer>(loop_, [&expired, at] { expired.push_back(at); }));
    timers.back()->start_after(std::chrono::seconds(at));
  }

  clock_.advance(3s);
  settle();
  EXPECT_THAT(expired, ElementsAre(1, 2, 3));
  clock_.advance(3s);
  settle();

  EXPECT_THAT(expired, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(EventLoopTest, ACancelledMovedOrDestroyedTimerDoesNotExpire) {
  int expired = 0;
  const auto count = [&] { ++expired; };
  Timer cancelled(loop_, count);
  Timer moved(loop_, count);
  auto destroyed = std::make_unique<Timer>(loop_, count);
  for (Timer* timer : {&cancelled, &moved, destroyed.get()}) timer->start_after(1s);

  cancelled.cancel();
  moved.start_after(10s);
  destroyed.reset();
  clock_.advance(5s);
  settle();

  EXPECT_EQ(expired, 0);
  EXPECT_TRUE(moved.started());
}

TEST_F(EventLoopTest, ATimerThatStartsItselfAgainLeavesTheLoopItsTurns) {
  int expired = 0;
  std::optional<Timer> timer;
  timer.emplace(loop_, [&] {
    ++expired;
    timer->start_after(Nanos::zero());
  });
  timer->start_after(Nanos::zero());

  loop_.turn(Nanos::zero());

  EXPECT_EQ(expired, 1);
}

TEST_F(EventLoopTest, ManyTimersInAnyOrderAllExpireInOrder) {
  std::vector<Nanos> expired;
  std::vector<std::unique_ptr<Timer>> timers;
  std::uint32_t random = 1;
  for (int i = 0; i < 500; ++i) {
    random = random * 1664525u + 1013904223u;
    const auto span = std::chrono::milliseconds(random >> 20);
    timers.push_back(std::make_unique<Timer>(loop_, [&expired, span] { expired.push_back(span); }));
    timers.back()->start_after(span);
  }
  for (std::size_t i = 0; i < timers.size(); i += 3) timers[i]->cancel();

  clock_.advance(10s);
  settle();

  EXPECT_EQ(expired.size(), 333u);
  EXPECT_TRUE(std::is_sorted(expired.begin(), expired.end()));
}

TEST_F(EventLoopTest, WaitersAreWokenInOrderAndLater) {
  for (int i = 1; i <= 3; ++i) scope_.spawn(wait_for(queue_, loop_, Deadline::never(), i, woken_));

  queue_.wake_one();
  EXPECT_TRUE(woken_.empty());
  settle();
  EXPECT_THAT(woken_, ElementsAre(1));
  queue_.wake_all();
  settle();

  EXPECT_THAT(woken_, ElementsAre(1, 2, 3));
}

TEST_F(EventLoopTest, AWaiterWakesAtItsDeadlineAndNotAgain) {
  scope_.spawn(wait_for(queue_, loop_, loop_.deadline_in(1s), 1, woken_));

  clock_.advance(1s);
  settle();
  queue_.wake_all();
  settle();

  EXPECT_THAT(woken_, ElementsAre(-1));
}

TEST_F(EventLoopTest, ADestroyedWaiterIsNotWoken) {
  const auto id = scope_.spawn(wait_for(queue_, loop_, Deadline::never(), 1, woken_));
  scope_.spawn(wait_for(queue_, loop_, Deadline::never(), 2, woken_));

  scope_.cancel(id);
  settle();
  queue_.wake_one();
  settle();

  EXPECT_THAT(woken_, ElementsAre(2));
}

TEST_F(EventLoopTest, APassedDeadlineStillLetsTheLoopTurn) {
  struct Spin {
    static Task<void> it(EventLoop& loop, int& turns) {
      while (turns < 3) {
        co_await loop.sleep_until(Deadline::at(Nanos(1)));
        ++turns;
      }
    }
  };
  int turns = 0;

  scope_.spawn(Spin::it(loop_, turns));

  EXPECT_EQ(turns, 0);
  settle();
  EXPECT_EQ(turns, 3);
}

TEST_F(EventLoopTest, PostedFunctionsRunInTheNextTurnInOrder) {
  std::vector<int> ran;
  loop_.post([&] {
    ran.push_back(1);
    loop_.post([&] { ran.push_back(3); });
  });
  loop_.post([&] { ran.push_back(2); });

  loop_.turn(Nanos::zero());
  EXPECT_THAT(ran, ElementsAre(1, 2));
  loop_.turn(Nanos::zero());

  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST_F(EventLoopTest, FunctionsOfOtherThreadsRunOnTheLoopsThread) {
  const SystemClock clock;
  EventLoop loop(clock);
  int ran = 0;
  bool here = true;
  const auto mine = std::this_thread::get_id();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) {
        loop.post_from_any_thread([&] {
          ++ran;
          here = here && std::this_thread::get_id() == mine;
        });
      }
    });
  }

  testing::run_until(loop, [&] { return ran == 1000; });
  for (std::thread& thread : threads) thread.join();

  EXPECT_TRUE(here);
}

TEST_F(EventLoopTest, StopEndsRunFromAnotherThread) {
  const SystemClock clock;
  EventLoop loop(clock);
  std::thread stopper([&] { loop.stop(); });

  loop.run();

  stopper.join();
}

TEST_F(EventLoopTest, ATurnEndHookRunsEveryTurnUntilItRemovesItself) {
  int runs = 0;
  std::uint64_t id = 0;
  id = loop_.at_turn_end([&] {
    if (++runs == 2) loop_.remove_turn_end(id);
  });

  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());

  EXPECT_EQ(runs, 2);
}

/// Has work whenever the test says so.
class Well final : public PolledSource {
 public:
  bool poll() override {
    const bool worked = std::exchange(has_work, false);
    if (while_polled) while_polled();  // may destroy this
    return worked;
  }
  bool about_to_sleep() override {
    ++asked;
    return has_work;
  }
  void awake() override { ++woken; }

  bool has_work = false;
  int asked = 0;
  int woken = 0;
  std::function<void()> while_polled;
};

TEST_F(EventLoopTest, ASourceIsPolledOnceATurnAndToldOfSleepAndWaking) {
  Well well;
  loop_.add(well);
  well.has_work = true;

  EXPECT_TRUE(loop_.turn(Nanos(1)));
  EXPECT_FALSE(well.has_work);
  EXPECT_EQ(well.asked, 1);
  EXPECT_EQ(well.woken, 1);
}

TEST_F(EventLoopTest, ALoopThatHasOtherWorkNeitherSleepsNorTellsItsSources) {
  Well well;
  loop_.add(well);
  loop_.at_turn_end([this] { loop_.post([] {}); });

  loop_.turn(Nanos::max());

  EXPECT_EQ(well.asked, 0);
  EXPECT_EQ(well.woken, 0);
}

TEST_F(EventLoopTest, WorkThatCameBeforeTheSleepPreventsIt) {
  Well well;
  loop_.add(well);
  loop_.at_turn_end([&] { well.has_work = true; });  // after it was polled

  loop_.turn(Nanos::max());  // would wait for ever

  EXPECT_EQ(well.woken, 1);
}

TEST_F(EventLoopTest, ASourceMayDestroyItselfAndAnotherWhileItIsPolled) {
  auto first = std::make_unique<Well>();
  auto second = std::make_unique<Well>();
  first->while_polled = [&] {
    second.reset();
    const auto keep_function = std::move(first->while_polled);
    first.reset();
  };
  loop_.add(*first);
  loop_.add(*second);

  loop_.turn(Nanos::zero());

  EXPECT_EQ(first, nullptr);
  EXPECT_EQ(second, nullptr);
}

TEST_F(EventLoopTest, AnEventOfAWatchThatAnotherCallbackDestroyedIsDropped) {
  const int first = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  const int second = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  int called = 0;
  std::unique_ptr<FdWatch> watches[2];
  for (int i = 0; i < 2; ++i) {
    watches[i] = std::make_unique<FdWatch>(loop_, [&, i](std::uint32_t) {
      ++called;
      watches[1 - i].reset();
    });
  }
  ASSERT_TRUE(watches[0]->start(first, EPOLLIN));
  ASSERT_TRUE(watches[1]->start(second, EPOLLIN));

  loop_.turn(Nanos::zero());

  EXPECT_EQ(called, 1);
  ::close(first);
  ::close(second);
}

TEST_F(EventLoopTest, AWatchOfAClosedDescriptorIsAnError) {
  FdWatch watch(loop_, [](std::uint32_t) {});

  EXPECT_FALSE(watch.start(-1, EPOLLIN));
}

}  // namespace
}  // namespace caisson
