#include <gtest/gtest.h>

#include "bus/task_scope.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/fair_queue.hpp"
#include "gateway/parking.hpp"
#include "gateway/request_window.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::FakeClock;
using caisson::testing::run_until;

class QueuesTest : public ::testing::Test {
 protected:
  Task<void> wait(std::string name, std::string app, std::size_t bytes, FairQueue::End end = FairQueue::End::kBack) {
    const auto turn = co_await queue_.wait(app, bytes, loop_.deadline_in(std::chrono::seconds(2)), end);
    order_.push_back(turn ? name : name + ":" + std::string(name_of(turn.error().code)));
  }
  Task<void> park(std::string name, std::size_t bytes) {
    const auto turn = co_await parking_.wait("cap", bytes, loop_.deadline_in(std::chrono::seconds(30)));
    order_.push_back(turn ? name : name + ":" + std::string(name_of(turn.error().code)));
  }
  void turn() {
    for (int i = 0; i < 4; ++i) loop_.turn(Nanos::zero());
  }

  FakeClock clock_;
  EventLoop loop_{clock_};
  FairQueue queue_{loop_, {4, 100}};
  Parking parking_{loop_, {2, 100}};
  std::vector<std::string> order_;
  TaskScope scope_{loop_};
};

TEST_F(QueuesTest, ABusyAppDelaysOnlyItself) {
  for (const char* name : {"a1", "a2", "a3"}) scope_.spawn(wait(name, "a", 1));
  scope_.spawn(wait("b1", "b", 1));

  for (int i = 0; i < 4; ++i) {
    queue_.offer(1);
    turn();
  }

  EXPECT_EQ(order_, (std::vector<std::string>{"a1", "b1", "a2", "a3"}));
  EXPECT_TRUE(queue_.idle());
}

TEST_F(QueuesTest, WhoHadATurnAndCouldNotUseItGoesFirst) {
  scope_.spawn(wait("a1", "a", 1));
  scope_.spawn(wait("again", "a", 1, FairQueue::End::kFront));

  queue_.offer(1);
  turn();

  EXPECT_EQ(order_, std::vector<std::string>{"again"});
}

TEST_F(QueuesTest, AFullQueueTurnsAwayByEntriesAndByBytes) {
  for (int i = 0; i < 5; ++i) scope_.spawn(wait("a", "a", 1));
  scope_.spawn(wait("b1", "b", 60));
  scope_.spawn(wait("b2", "b", 60));

  EXPECT_EQ(order_, (std::vector<std::string>{"a:RESOURCE_EXHAUSTED", "b2:RESOURCE_EXHAUSTED"}));
}

TEST_F(QueuesTest, AWaitEndsWithItsTime) {
  scope_.spawn(wait("a", "a", 1));
  clock_.advance(std::chrono::seconds(2));
  turn();

  EXPECT_EQ(order_, std::vector<std::string>{"a:DEADLINE_EXCEEDED"});
  EXPECT_TRUE(queue_.idle());
}

TEST_F(QueuesTest, APlaceOfferedToOneWhoIsDroppedGoesToTheNext) {
  const auto first = scope_.spawn(wait("gone", "a", 1));
  scope_.spawn(wait("next", "a", 1));
  scope_.cancel(first);  // takes effect in the next turn, before the woken coroutine would run
  queue_.offer(1);
  turn();

  EXPECT_EQ(order_, std::vector<std::string>{"next"});
}

TEST_F(QueuesTest, AClosedQueueSendsEverybodyAway) {
  scope_.spawn(wait("a", "a", 1));
  scope_.spawn(wait("b", "b", 1));
  queue_.close();
  turn();
  scope_.spawn(wait("late", "a", 1));

  EXPECT_EQ(order_, (std::vector<std::string>{"a:UNAVAILABLE", "b:UNAVAILABLE", "late:UNAVAILABLE"}));
}

TEST_F(QueuesTest, TheParkedWakeTogetherInOrder) {
  scope_.spawn(park("p1", 1));
  scope_.spawn(park("p2", 1));
  EXPECT_EQ(parking_.parked("cap"), 2U);

  parking_.wake("other");
  turn();
  EXPECT_TRUE(order_.empty());
  parking_.wake("cap");
  turn();

  EXPECT_EQ(order_, (std::vector<std::string>{"p1", "p2"}));
  EXPECT_EQ(parking_.parked("cap"), 0U);
}

TEST_F(QueuesTest, ParkingIsBoundedInEntriesBytesAndTime) {
  scope_.spawn(park("p1", 90));
  scope_.spawn(park("big", 20));
  scope_.spawn(park("p2", 1));
  scope_.spawn(park("third", 1));
  clock_.advance(std::chrono::seconds(30));
  turn();

  EXPECT_EQ(order_,
            (std::vector<std::string>{"big:UNAVAILABLE", "third:UNAVAILABLE", "p1:UNAVAILABLE", "p2:UNAVAILABLE"}));
}

TEST(RequestWindowTest, ASlotIsReusedWithAHigherGeneration) {
  RequestWindow window(7);
  RequestId first;
  {
    const auto slot = window.acquire();
    first = slot.id();
    const auto other = window.acquire();
    EXPECT_NE(other.id().slot, first.slot);
    EXPECT_EQ(window.in_use(), 2U);
  }
  EXPECT_EQ(window.in_use(), 0U);

  const auto again = window.acquire();

  EXPECT_EQ(again.id().slot, first.slot);
  EXPECT_EQ(again.id().incarnation, 7U);
  EXPECT_GT(again.id().generation, first.generation);
}

}  // namespace
}  // namespace caisson::gateway
