#include "bus/link.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "bus/inproc_lane.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/faulty_lane.hpp"
#include "bus/testing/link_rig.hpp"
#include "bus/testing/scripted_lane.hpp"

namespace caisson {
namespace {

using testing::Asked;
using testing::echo;
using testing::FakeClock;
using testing::FaultyLane;
using testing::LinkEnd;
using testing::ScriptedLane;
using namespace std::chrono_literals;

/// Turns the loop while it has something to do.
void settle(EventLoop& loop) {
  while (loop.turn(Nanos::zero())) {
  }
}

// --- a lane that fails ---

class LinkOverAFaultyLaneTest : public ::testing::Test {
 protected:
  LinkOverAFaultyLaneTest() : loop_(clock_), scope_(loop_) {
    auto [near, far] = make_inproc_lanes(loop_);
    auto near_faulty = std::make_unique<FaultyLane>(loop_, std::move(near));
    auto far_faulty = std::make_unique<FaultyLane>(loop_, std::move(far));
    gateway_lane_ = near_faulty.get();
    capability_lane_ = far_faulty.get();
    gateway_ = std::make_unique<LinkEnd>(loop_, std::move(near_faulty), Side::kGateway, Link::Options{}, echo);
    capability_ = std::make_unique<LinkEnd>(loop_, std::move(far_faulty), Side::kCapability, Link::Options{},
                                            [this](Incoming request) { return serve_(std::move(request)); });
    settle(loop_);
  }

  Link& gateway() { return *gateway_->link; }
  Link& capability() { return *capability_->link; }

  static Task<void> keep(Incoming request, std::optional<Incoming>& kept) {
    kept.emplace(std::move(request));
    co_return;
  }
  static Task<void> write(BodyWriter& writer, std::string piece, Deadline deadline,
                          std::optional<Result<void>>& result) {
    Buffer bytes(std::move(piece));
    result.emplace(co_await writer.write(std::move(bytes), deadline));
  }

  FakeClock clock_;
  EventLoop loop_;
  LinkEnd::Serve serve_ = echo;
  std::optional<Incoming> kept_;
  FaultyLane* gateway_lane_ = nullptr;
  FaultyLane* capability_lane_ = nullptr;
  std::unique_ptr<LinkEnd> gateway_;
  std::unique_ptr<LinkEnd> capability_;
  TaskScope scope_;
};

TEST_F(LinkOverAFaultyLaneTest, ARequestForAFullLaneIsAnAnswerAndItsBodyIsKept) {
  gateway_lane_->fill();
  Buffer body(std::string("body"));

  const auto refused = gateway().open(Envelope{}, body, Deadline::never());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kResourceExhausted);
  EXPECT_EQ(body.view(), "body");
  gateway_lane_->make_room();
  settle(loop_);
  EXPECT_TRUE(gateway().open(Envelope{}, body, Deadline::never()));
}

TEST_F(LinkOverAFaultyLaneTest, AnAnswerWaitsForRoom) {
  capability_lane_->fill();
  const auto asked = Asked::begin(scope_, gateway(), "x");
  settle(loop_);
  ASSERT_FALSE(asked->done());

  capability_lane_->make_room();
  settle(loop_);

  ASSERT_TRUE(asked->done());
  EXPECT_TRUE(*asked->answer);
}

TEST_F(LinkOverAFaultyLaneTest, AnAnswerThatFindsNoRoomBeforeItsDeadlineIsAnswered) {
  serve_ = [this](Incoming request) { return keep(std::move(request), kept_); };
  Buffer body(std::string("x"));
  auto call = gateway().open(Envelope{}, body, loop_.deadline_in(1s));
  settle(loop_);
  ASSERT_TRUE(kept_);
  capability_lane_->fill();
  struct Reply {
    static Task<void> it(std::optional<Incoming>& kept, std::optional<Result<void>>& result) {
      Envelope head;
      Buffer nothing;
      result.emplace(co_await kept->reply(head, std::move(nothing)));
      kept.reset();
    }
  };
  std::optional<Result<void>> sent;
  scope_.spawn(Reply::it(kept_, sent));
  settle(loop_);
  EXPECT_FALSE(sent);

  clock_.advance(2s);
  settle(loop_);

  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->error().code, Errc::kResourceExhausted);
  capability_lane_->make_room();
  settle(loop_);
  EXPECT_EQ(capability().serving(), 0u);
}

TEST_F(LinkOverAFaultyLaneTest, WhatIsOwedKeepsItsOrderAndGoesFirst) {
  std::vector<std::string> errors;
  struct Drop {
    static Task<void> it(Incoming) { co_return; }
  };
  serve_ = [](Incoming request) { return Drop::it(std::move(request)); };
  capability_lane_->fill();
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 5; ++i) asked.push_back(Asked::begin(scope_, gateway(), "x"));
  settle(loop_);
  Buffer status(std::string("later"));
  Envelope envelope;
  envelope.kind = wire::Kind::Status;

  EXPECT_EQ(capability().send(envelope, status).error().code, Errc::kResourceExhausted);
  capability_lane_->make_room();
  settle(loop_);
  EXPECT_TRUE(capability().send(envelope, status));
  settle(loop_);

  for (const auto& one : asked) {
    ASSERT_TRUE(one->done());
    EXPECT_EQ(one->answer->error().code, Errc::kInternal);
  }
  EXPECT_EQ(gateway_->controls.back(), "Status:later");
}

TEST_F(LinkOverAFaultyLaneTest, APieceThatFoundNoRoomCostsNoCredit) {
  serve_ = [this](Incoming request) { return keep(std::move(request), kept_); };
  Buffer nothing;
  auto call = gateway().open(Envelope{}, nothing, Deadline::never());
  settle(loop_);
  const std::string piece(100 * 1024, 'p');
  // Were each refused piece charged, the window would be used up long before the last.
  for (int i = 0; i < 10; ++i) {
    gateway_lane_->fill();
    std::optional<Result<void>> result;
    scope_.spawn(write(call->body, piece, loop_.deadline_in(1s), result));
    settle(loop_);
    clock_.advance(1s);
    settle(loop_);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->error().code, Errc::kDeadlineExceeded);
    gateway_lane_->make_room();
    settle(loop_);
  }

  std::optional<Result<void>> result;
  scope_.spawn(write(call->body, piece, loop_.deadline_in(1s), result));
  settle(loop_);

  ASSERT_TRUE(result);
  EXPECT_TRUE(*result);
}

TEST_F(LinkOverAFaultyLaneTest, CreditThatFoundNoRoomIsGivenLater) {
  serve_ = [this](Incoming request) { return keep(std::move(request), kept_); };
  Buffer nothing;
  auto call = gateway().open(Envelope{}, nothing, Deadline::never());
  settle(loop_);
  struct Pour {
    static Task<void> it(BodyWriter writer, bool& done) {
      for (int i = 0; i < 16; ++i) {
        Buffer piece(std::string(64 * 1024, 'p'));
        if (!co_await writer.write(std::move(piece), Deadline::never())) co_return;
      }
      done = bool(co_await writer.finish(Deadline::never()));
    }
    static Task<void> drain(BodyReader reader, std::size_t& size) {
      while (true) {
        const auto piece = co_await reader.next(Deadline::never());
        if (!piece || !*piece) co_return;
        size += (*piece)->size();
      }
    }
  };
  bool done = false;
  std::size_t size = 0;
  scope_.spawn(Pour::it(std::move(call->body), done));
  capability_lane_->fill();
  scope_.spawn(Pour::drain(kept_->rest(), size));
  settle(loop_);
  EXPECT_FALSE(done);

  capability_lane_->make_room();
  settle(loop_);

  EXPECT_TRUE(done);
  EXPECT_EQ(size, 1024u * 1024);
}

TEST_F(LinkOverAFaultyLaneTest, AnAnswerThatIsLateIsNotMistakenForTheNextOne) {
  capability_lane_->hold();
  gateway_lane_->hold();
  const auto late = Asked::begin(scope_, gateway(), "late", loop_.deadline_in(1s));
  capability_lane_->let_go();
  settle(loop_);
  ASSERT_EQ(gateway_lane_->held(), 1u);
  clock_.advance(2s);
  settle(loop_);
  ASSERT_TRUE(late->done());
  EXPECT_EQ(late->answer->error().code, Errc::kDeadlineExceeded);

  const auto next = Asked::begin(scope_, gateway(), "next");
  gateway_lane_->let_go();
  settle(loop_);

  ASSERT_TRUE(next->done());
  EXPECT_EQ(**next->answer, "next");
}

TEST_F(LinkOverAFaultyLaneTest, ALaneThatBreaksEndsEverythingOnce) {
  serve_ = [this](Incoming request) { return keep(std::move(request), kept_); };
  const auto asked = Asked::begin(scope_, gateway(), "x");
  settle(loop_);

  gateway_lane_->break_down({Errc::kUnavailable, "cut"});
  gateway().close({Errc::kAborted, "closed as well"});
  settle(loop_);

  EXPECT_EQ(asked->answer->error().code, Errc::kUnavailable);
  EXPECT_EQ(gateway_->downs, 1);
  EXPECT_FALSE(gateway().has_room());
}

TEST_F(LinkOverAFaultyLaneTest, APeerThatFallsSilentIsGivenUp) {
  capability_lane_->fill();
  for (int i = 0; i < 12; ++i) {
    clock_.advance(1s);
    settle(loop_);
  }

  EXPECT_EQ(gateway_->downs, 1);
  EXPECT_NE(gateway_->reason_of_down->message.find("silent"), std::string::npos);
}

TEST_F(LinkOverAFaultyLaneTest, HeartbeatsKeepAnIdleLinkUp) {
  for (int i = 0; i < 60; ++i) {
    clock_.advance(1s);
    settle(loop_);
  }

  EXPECT_EQ(gateway_->downs + capability_->downs, 0);
}

// --- a peer that does not keep the rules ---

class LinkWithAHostilePeerTest : public ::testing::Test {
 protected:
  LinkWithAHostilePeerTest() : loop_(clock_), scope_(loop_) {}

  void begin(Side side, Link::Options options = {}) {
    auto lane = std::make_unique<ScriptedLane>();
    lane_ = lane.get();
    end_ = std::make_unique<LinkEnd>(loop_, std::move(lane), side, options,
                                     [this](Incoming request) { return keep(std::move(request)); });
    settle(loop_);
  }
  Task<void> keep(Incoming request) {
    kept_.push_back(std::move(request));
    co_return;
  }
  static Envelope frame(wire::Kind kind, std::uint64_t id = 0, std::uint16_t flags = 0) {
    Envelope envelope;
    envelope.kind = kind;
    envelope.id = id;
    envelope.flags = flags;
    return envelope;
  }
  void expect_violation() {
    settle(loop_);
    EXPECT_EQ(end_->downs, 1);
    ASSERT_TRUE(end_->reason_of_down);
    EXPECT_EQ(end_->reason_of_down->code, Errc::kDataLoss) << end_->reason_of_down->message;
  }
  void expect_up() {
    settle(loop_);
    EXPECT_EQ(end_->downs, 0);
  }

  FakeClock clock_;
  EventLoop loop_;
  std::vector<Incoming> kept_;
  ScriptedLane* lane_ = nullptr;
  std::unique_ptr<LinkEnd> end_;
  TaskScope scope_;
};

using wire::Kind;

TEST_F(LinkWithAHostilePeerTest, AFrameBeforeTheHelloIsAViolationAPingIsNot) {
  begin(Side::kGateway);

  lane_->deliver(frame(Kind::Ping));
  expect_up();
  lane_->deliver(frame(Kind::Status));

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ASecondHelloIsAViolation) {
  begin(Side::kGateway);
  lane_->hello();

  lane_->hello();

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ARequestInTheWrongDirectionIsAViolation) {
  begin(Side::kGateway);
  lane_->hello();

  lane_->deliver(frame(Kind::Request, 1));

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ARequestIdUsedTwiceIsAViolation) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1));

  lane_->deliver(frame(Kind::Request, 1));

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ASecondAnswerIsAViolationAndOneNobodyWaitsForIsNot) {
  begin(Side::kGateway);
  lane_->hello();
  Buffer nothing;
  auto call = end_->link->open(Envelope{}, nothing, Deadline::never());
  ASSERT_TRUE(call);

  lane_->deliver(frame(Kind::Reply, 77));
  lane_->deliver(frame(Kind::Reply, 1, kStreamed));
  expect_up();
  lane_->deliver(frame(Kind::Reply, 1));

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, DataAfterTheEndOfABodyIsAViolation) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1, kStreamed));
  lane_->deliver(frame(Kind::StreamEnd, 1, kFromAsker));
  expect_up();

  lane_->deliver(frame(Kind::StreamData, 1, kFromAsker), "more");

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ASecondEndOfABodyIsAViolation) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1, kStreamed));
  lane_->deliver(frame(Kind::StreamEnd, 1, kFromAsker));

  lane_->deliver(frame(Kind::StreamEnd, 1, kFromAsker));

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, DataWithoutCreditIsAViolation) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1, kStreamed));

  lane_->deliver(frame(Kind::StreamData, 1, kFromAsker), std::string(300 * 1024, 'x'));
  expect_up();
  lane_->deliver(frame(Kind::StreamData, 1, kFromAsker), "x");

  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, EmptyPiecesUseUpTheWindowToo) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1, kStreamed));

  int delivered = 0;
  while (!end_->link->down() && delivered < 10'000) {
    lane_->deliver(frame(Kind::StreamData, 1, kFromAsker));
    ++delivered;
  }

  EXPECT_LE(delivered, 1025);
  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, APeerThatAsksWithoutReadingAnswersIsGivenUp) {
  Link::Options options;
  options.max_asked = 4;
  options.max_served = 4;
  begin(Side::kCapability, options);
  lane_->hello();
  lane_->full = true;

  std::uint64_t id = 0;
  while (!end_->link->down() && id < 10'000) lane_->deliver(frame(Kind::Request, ++id));

  EXPECT_LT(id, 100u);
  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, NothingIsHandledAfterAViolation) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Reply, 0));
  lane_->deliver(frame(Kind::Call, 1));  // the violation

  lane_->deliver(frame(Kind::Request, 2));
  lane_->deliver(frame(Kind::Status));

  EXPECT_TRUE(kept_.empty());
  EXPECT_EQ(end_->controls.size(), 1u);
  expect_violation();
}

TEST_F(LinkWithAHostilePeerTest, ACallPassedOnTooOftenIsNotServed) {
  begin(Side::kCapability);
  lane_->hello();
  Envelope request = frame(Kind::Request, 1);
  request.hops = kMaxHops + 1;

  lane_->deliver(request);

  EXPECT_TRUE(kept_.empty());
  EXPECT_EQ(lane_->sent.back().kind, Kind::Reply);
  EXPECT_EQ(lane_->sent.back().error, Errc::kInvalidArgument);
}

TEST_F(LinkWithAHostilePeerTest, ACancelEndsABodyWhoeverReadsIt) {
  begin(Side::kCapability);
  lane_->hello();
  lane_->deliver(frame(Kind::Request, 1, kStreamed));
  ASSERT_EQ(kept_.size(), 1u);
  BodyReader reader = kept_[0].rest();

  lane_->deliver(frame(Kind::Cancel, 1));

  const auto piece = testing::run(loop_, reader.next(Deadline::never()));
  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error().code, Errc::kCancelled);
  const std::size_t sent = lane_->sent.size();
  reader = BodyReader();
  kept_.clear();
  EXPECT_EQ(lane_->sent.size(), sent);  // nobody waits for an answer
}

TEST_F(LinkWithAHostilePeerTest, ADeadlineInTheFarFutureIsNoDeadlineInThePast) {
  begin(Side::kCapability);
  lane_->hello();
  Envelope request = frame(Kind::Request, 1);
  request.deadline_ns = ~std::uint64_t{0};
  Envelope other = frame(Kind::Request, 2);
  other.timeout_ns = ~std::uint64_t{0};

  lane_->deliver(request);
  lane_->deliver(other);

  ASSERT_EQ(kept_.size(), 2u);
  EXPECT_TRUE(kept_[0].deadline().is_never());
  EXPECT_TRUE(kept_[1].deadline().is_never());
}

TEST_F(LinkWithAHostilePeerTest, HelloWaitsForTheLaneToHaveRoomAndGoesFirst) {
  auto lane = std::make_unique<ScriptedLane>();
  lane_ = lane.get();
  lane_->full = true;
  LinkEnd end(loop_, std::move(lane), Side::kCapability, {}, echo);
  Buffer nothing;
  EXPECT_EQ(end.link->send(frame(Kind::Status), nothing).error().code, Errc::kResourceExhausted);

  lane_->full = false;
  lane_->writable();

  ASSERT_EQ(lane_->sent.size(), 1u);
  EXPECT_EQ(lane_->sent[0].kind, Kind::Hello);
  EXPECT_TRUE(end.link->send(frame(Kind::Status), nothing));
}

}  // namespace
}  // namespace caisson
