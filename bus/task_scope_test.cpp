#include "bus/task_scope.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"

namespace caisson {
namespace {

using namespace std::chrono_literals;

struct Witness {
  explicit Witness(int& count) : destroyed(count) {}
  Witness(const Witness&) = delete;
  ~Witness() { ++destroyed; }
  int& destroyed;
};

Task<void> hang(EventLoop& loop, int& destroyed) {
  const Witness witness(destroyed);
  co_await loop.sleep_until(Deadline::never());
}

class TaskScopeTest : public ::testing::Test {
 protected:
  TaskScopeTest() : loop_(clock_) {}
  void settle() {
    while (loop_.turn(Nanos::zero())) {
    }
  }
  testing::FakeClock clock_;
  EventLoop loop_;
  int destroyed_ = 0;
};

TEST_F(TaskScopeTest, ASpawnedTaskRunsToItsFirstWaitAtOnce) {
  struct Step {
    static Task<void> it(EventLoop& loop, int& steps) {
      ++steps;
      co_await loop.sleep_until(Deadline::at(Nanos(1)));
      ++steps;
    }
  };
  int steps = 0;
  TaskScope scope(loop_);

  scope.spawn(Step::it(loop_, steps));
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(scope.size(), 1u);
  settle();

  EXPECT_EQ(steps, 2);
  EXPECT_TRUE(scope.empty());
}

TEST_F(TaskScopeTest, DestroyingTheScopeDestroysItsTasks) {
  {
    TaskScope scope(loop_);
    for (int i = 0; i < 3; ++i) scope.spawn(hang(loop_, destroyed_));
    EXPECT_EQ(destroyed_, 0);
  }

  EXPECT_EQ(destroyed_, 3);
}

TEST_F(TaskScopeTest, ACancelledTaskIsDestroyedLaterAndTheOthersRunOn) {
  TaskScope scope(loop_);
  const auto id = scope.spawn(hang(loop_, destroyed_));
  scope.spawn(hang(loop_, destroyed_));

  scope.cancel(id);
  EXPECT_EQ(destroyed_, 0);
  settle();

  EXPECT_EQ(destroyed_, 1);
  EXPECT_EQ(scope.size(), 1u);
  scope.cancel(id);
  settle();
  EXPECT_EQ(destroyed_, 1);
}

TEST_F(TaskScopeTest, ATaskMayCancelItself) {
  struct CancelSelf {
    static Task<void> it(EventLoop& loop, TaskScope& scope, TaskScope::Id& id, int& destroyed, bool& ran_on) {
      const Witness witness(destroyed);
      co_await loop.sleep_until(Deadline::at(Nanos(1)));
      scope.cancel(id);
      ran_on = true;
      co_await loop.sleep_until(Deadline::never());
    }
  };
  TaskScope scope(loop_);
  TaskScope::Id id = 0;
  bool ran_on = false;
  id = scope.spawn(CancelSelf::it(loop_, scope, id, destroyed_, ran_on));

  settle();

  EXPECT_TRUE(ran_on);
  EXPECT_EQ(destroyed_, 1);
  EXPECT_TRUE(scope.empty());
}

TEST_F(TaskScopeTest, ACancelMayComeToATaskThatHasEndedMeanwhile) {
  struct End {
    static Task<void> it(EventLoop& loop) { co_await loop.sleep_until(Deadline::at(Nanos(1))); }
  };
  TaskScope scope(loop_);
  const auto id = scope.spawn(End::it(loop_));
  loop_.post([&] { scope.cancel(id); });

  settle();

  EXPECT_TRUE(scope.empty());
}

TEST_F(TaskScopeTest, ACancelMayComeAfterTheScopesEnd) {
  {
    TaskScope scope(loop_);
    scope.cancel(scope.spawn(hang(loop_, destroyed_)));
  }

  settle();

  EXPECT_EQ(destroyed_, 1);
}

TEST_F(TaskScopeTest, DestroyingATaskMayCancelAndSpawnOthers) {
  struct Chain {
    struct OnExit {
      TaskScope& scope;
      EventLoop& loop;
      int& destroyed;
      bool& once;
      ~OnExit() {
        if (std::exchange(once, true)) return;
        scope.cancel_all();
        scope.spawn(hang(loop, destroyed));
      }
    };
    static Task<void> it(EventLoop& loop, TaskScope& scope, int& destroyed, bool& once) {
      const OnExit on_exit{scope, loop, destroyed, once};
      co_await loop.sleep_until(Deadline::never());
    }
  };
  bool once = false;
  {
    TaskScope scope(loop_);
    scope.spawn(Chain::it(loop_, scope, destroyed_, once));
    scope.spawn(hang(loop_, destroyed_));
  }

  settle();

  EXPECT_EQ(destroyed_, 2);
}

TEST_F(TaskScopeTest, JoinWaitsForTheLastTaskOrTheDeadline) {
  struct Join {
    static Task<void> it(TaskScope& scope, Deadline deadline, std::vector<bool>& joined) {
      const bool result = co_await scope.join(deadline);
      joined.push_back(result);
    }
  };
  std::vector<bool> joined;
  TaskScope scope(loop_);
  TaskScope joining(loop_);
  scope.spawn(hang(loop_, destroyed_));

  joining.spawn(Join::it(scope, loop_.deadline_in(1s), joined));
  clock_.advance(1s);
  settle();
  EXPECT_EQ(joined, std::vector<bool>{false});
  joining.spawn(Join::it(scope, Deadline::never(), joined));
  scope.cancel_all();
  settle();

  EXPECT_EQ(joined, (std::vector<bool>{false, true}));
}

TEST_F(TaskScopeTest, NestedTasksAreDestroyedWithTheirRoot) {
  struct Nest {
    static Task<int> inner(EventLoop& loop, int& destroyed) {
      co_await hang(loop, destroyed);
      co_return 1;
    }
    static Task<void> outer(EventLoop& loop, int& destroyed) {
      const Witness witness(destroyed);
      [[maybe_unused]] const int value = co_await inner(loop, destroyed);
    }
  };
  {
    TaskScope scope(loop_);
    scope.spawn(Nest::outer(loop_, destroyed_));
  }

  EXPECT_EQ(destroyed_, 2);
}

TEST_F(TaskScopeTest, ATaskThatIsNeverAwaitedDoesNotRun) {
  struct Count {
    static Task<void> it(int& runs) {
      ++runs;
      co_return;
    }
  };
  int runs = 0;

  { const Task<void> dropped = Count::it(runs); }

  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace caisson
