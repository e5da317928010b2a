#include "gateway/concurrency_gate.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "bus/task_scope.hpp"
#include "bus/testing/fake_clock.hpp"

namespace caisson::gateway {
namespace {

using namespace std::chrono_literals;

class ConcurrencyGateTest : public ::testing::Test {
 protected:
  struct Holder {
    explicit Holder(ConcurrencyGate& gate) : turn(gate) {}
    ConcurrencyGate::Turn turn;
    std::optional<Errc> taken;  // kOk: it is inside
  };

  std::unique_ptr<Holder> come(Deadline deadline = Deadline::never()) {
    auto holder = std::make_unique<Holder>(gate_);
    scope_.spawn(take(*holder, deadline));
    settle();
    return holder;
  }
  void settle() {
    while (loop_.turn(Nanos::zero())) {
    }
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  ConcurrencyGate gate_{loop_, 1, 1};

 private:
  static Task<void> take(Holder& holder, Deadline deadline) {
    auto taking = holder.turn.take(deadline);
    const auto taken = co_await std::move(taking);
    holder.taken = taken ? Errc::kOk : taken.error().code;
  }

  TaskScope scope_{loop_};
};

TEST_F(ConcurrencyGateTest, WhoFindsTheLineFullIsRefusedAtOnce) {
  auto inside = come();
  const auto waiting = come();

  const auto refused = come();

  EXPECT_EQ(inside->taken, Errc::kOk);
  EXPECT_FALSE(waiting->taken.has_value());
  EXPECT_EQ(refused->taken, Errc::kResourceExhausted);
  inside.reset();
  settle();
  EXPECT_EQ(waiting->taken, Errc::kOk);
}

TEST_F(ConcurrencyGateTest, WhoGivesUpWaitingLeavesTheLineToOthers) {
  auto inside = come();
  auto late = come(loop_.deadline_in(1s));
  clock_.advance(2s);
  settle();
  EXPECT_EQ(late->taken, Errc::kResourceExhausted);
  late.reset();

  const auto next = come();

  EXPECT_EQ(gate_.waiting(), 1U);
  inside.reset();
  settle();
  EXPECT_EQ(next->taken, Errc::kOk);
  EXPECT_EQ(gate_.inside(), 1U);
  EXPECT_EQ(gate_.waiting(), 0U);
}

}  // namespace
}  // namespace caisson::gateway
