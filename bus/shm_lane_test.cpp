// What the shared-memory lane does beyond what every lane owes: where bytes lie, what is given back, when
// it rings, what outlives it.

#include "bus/shm_lane.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <vector>

#include "bus/sealed_memory.hpp"
#include "bus/shm_layout.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"

namespace caisson {
namespace {

using testing::run_until;

/// Keeps what arrives.
class Kept final : public Lane::Receiver {
 public:
  void on_frame(Frame frame) override {
    ++count;
    if (keep) frames.push_back(std::move(frame));
  }
  void on_writable() override { ++writable; }
  void on_down(Error reason) override { down = std::move(reason); }

  bool keep = true;
  std::size_t count = 0;
  std::vector<Frame> frames;
  int writable = 0;
  std::optional<Error> down;
};

class ShmLaneTest : public ::testing::Test {
 protected:
  ShmLaneTest() : loop_(clock_), listener_(make_shm_listener(loop_, path_, Spin::kOff)) {
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      gateways_.push_back(std::move(lane));
      gateways_.back()->start(at_gateway_);
    });
    EXPECT_TRUE(listening);
    near_ = connect();
    near_->start(at_near_);
  }

  std::unique_ptr<Lane> connect() {
    const std::size_t before = gateways_.size();
    auto lane = connect_shm(loop_, path_, Spin::kOff);
    EXPECT_TRUE(lane);
    run_until(loop_, [&] { return gateways_.size() == before + 1; });
    for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
    return *std::move(lane);
  }

  /// Sends from near to the gateway.
  Result<void> send(Buffer payload) { return send(*near_, payload); }
  static Result<void> send(Lane& lane, Buffer& payload) {
    Envelope envelope;
    envelope.kind = wire::Kind::Status;
    return lane.publish(envelope, payload);
  }

  testing::FakeClock clock_;
  testing::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "bus.sock").string();
  EventLoop loop_;
  Kept at_near_;
  Kept at_gateway_;
  std::unique_ptr<LaneListener> listener_;
  std::vector<std::unique_ptr<Lane>> gateways_;
  std::unique_ptr<Lane> near_;
};

TEST_F(ShmLaneTest, PayloadsOfAllSizesArriveAsTheyWereSent) {
  std::vector<std::string> sent;
  for (const std::size_t size : {0, 1, 63, 64, 1900, 2040, 2048, 2049, 5000, 65535, 65536, 262144, 262145, 3000000}) {
    sent.emplace_back(size, static_cast<char>('a' + sent.size()));
    ASSERT_TRUE(send(Buffer::copy_of(sent.back()))) << size;
  }

  run_until(loop_, [&] { return at_gateway_.frames.size() == sent.size(); });

  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_TRUE(at_gateway_.frames[i].payload() == sent[i]) << i;
}

TEST_F(ShmLaneTest, EnvelopesOfAllSizesArriveWithPayloadsOfAllSizes) {
  std::vector<std::string> paths;
  for (const std::size_t path : {10, 1900, 2100, 5000, 60000}) {
    for (const std::size_t body : {10, 3000, 300000}) {
      paths.emplace_back(path, 'p');
      Envelope envelope;
      envelope.kind = wire::Kind::Status;
      envelope.path = paths.back();
      Buffer payload(std::string(body, 'b'));
      ASSERT_TRUE(near_->publish(envelope, payload));
    }
  }

  run_until(loop_, [&] { return at_gateway_.frames.size() == paths.size(); });

  for (std::size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(text(at_gateway_.frames[i]->path()), paths[i]);
  EXPECT_EQ(at_gateway_.frames.back().payload(), std::string(300000, 'b'));
}

TEST_F(ShmLaneTest, ALoanIsSentWithoutACopy) {
  for (const std::size_t size : {std::size_t{16} * 1024, std::size_t{1024} * 1024}) {
    auto loan = near_->loan(size);
    ASSERT_TRUE(loan);
    std::fill(loan->writable().begin(), loan->writable().end(), 'l');
    const std::uint64_t own_bytes = near_->counters().own_bytes;

    ASSERT_TRUE(send(*std::move(loan)));

    // A copied chunk would have grown the arena or been lent besides.
    EXPECT_EQ(near_->counters().lent, 1u);
    EXPECT_LE(near_->counters().own_bytes, own_bytes + size);
    run_until(loop_, [&] { return at_gateway_.frames.size() == 1; });
    EXPECT_TRUE(at_gateway_.frames[0].payload() == std::string(size, 'l'));
    at_gateway_.frames.clear();
    Buffer next(std::string(10000, 'x'));
    ASSERT_TRUE(send(*near_, next));
    EXPECT_EQ(near_->counters().lent, 1u) << "the first was taken back";
    run_until(loop_, [&] { return at_gateway_.frames.size() == 1; });
    at_gateway_.frames.clear();
    clock_.advance(std::chrono::seconds(3));
    run_until(loop_, [&] { return near_->counters().lent == 0; });
  }
}

TEST_F(ShmLaneTest, ALoanThatIsNotSentIsFreeAgain) {
  for (int i = 0; i < 1000; ++i) {
    const auto loan = near_->loan(std::size_t{200} * 1024);
    ASSERT_TRUE(loan);
  }
  EXPECT_EQ(near_->counters().lent, 0u);
}

TEST_F(ShmLaneTest, ALoanMayOutliveItsLane) {
  auto small = near_->loan(20000);
  auto large = near_->loan(2000000);
  ASSERT_TRUE(small && large);

  near_.reset();
  gateways_.clear();
  listener_.reset();

  std::fill(small->writable().begin(), small->writable().end(), 's');
  std::fill(large->writable().begin(), large->writable().end(), 'l');
}

TEST_F(ShmLaneTest, ARefusedFileLoanKeepsItsBytesAndGoesLater) {
  std::size_t sent = 0;
  std::optional<Buffer> refused;
  while (!refused) {
    auto loan = near_->loan(kMaxPayload);
    ASSERT_TRUE(loan) << loan.error().message;
    loan->writable().front() = 'f';
    loan->writable().back() = 'b';
    Buffer payload = *std::move(loan);
    const auto result = send(*near_, payload);
    if (result)
      ++sent;
    else
      refused.emplace(std::move(payload));
    ASSERT_LE(sent, 4u);
  }
  EXPECT_EQ(refused->size(), kMaxPayload);
  EXPECT_EQ(refused->view().front(), 'f');
  EXPECT_EQ(refused->view().back(), 'b');

  at_gateway_.keep = false;
  run_until(loop_, [&] { return at_near_.writable > 0; });

  EXPECT_TRUE(send(*near_, *refused));
  run_until(loop_, [&] { return at_gateway_.count == sent + 1; });
}

TEST_F(ShmLaneTest, WhatIsHeldByAReaderStaysWhenBothLanesAndTheListenerAreGone) {
  for (const std::size_t size : {100, 10000, 1000000}) ASSERT_TRUE(send(Buffer(std::string(size, 'k'))));
  run_until(loop_, [&] { return at_gateway_.frames.size() == 3; });

  near_.reset();
  gateways_.clear();
  listener_.reset();
  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());

  EXPECT_EQ(at_gateway_.frames[0].payload(), std::string(100, 'k'));
  EXPECT_TRUE(at_gateway_.frames[1].payload() == std::string(10000, 'k'));
  Buffer largest = std::move(at_gateway_.frames[2]).into_payload();
  at_gateway_.frames.clear();
  EXPECT_TRUE(largest.view() == std::string(1000000, 'k'));
}

TEST_F(ShmLaneTest, AFullRingSaysSoAndThenThatThereIsRoom) {
  std::size_t sent = 0;
  while (send(Buffer(std::string(100, 'x')))) ASSERT_LT(++sent, 10000u);
  EXPECT_EQ(near_->counters().full, 1u);
  EXPECT_EQ(at_near_.writable, 0);

  run_until(loop_, [&] { return at_near_.writable == 1; });

  EXPECT_TRUE(send(Buffer(std::string(100, 'y'))));
  run_until(loop_, [&] { return at_gateway_.count == sent + 1; });
  EXPECT_EQ(at_near_.writable, 1);
}

TEST_F(ShmLaneTest, AReaderThatHoldsAllChunksIsFullUntilItGivesBack) {
  std::size_t sent = 0;
  while (true) {
    Buffer payload(std::string(20000, 'x'));
    if (!send(*near_, payload)) {
      if (at_gateway_.count == sent) break;
      run_until(loop_, [&] { return at_gateway_.count == sent; });
      continue;
    }
    ++sent;
    ASSERT_LT(sent, 10000u);
  }
  for (int i = 0; i < 20; ++i) loop_.turn(Nanos::zero());
  const int before = at_near_.writable;

  at_gateway_.frames.clear();
  run_until(loop_, [&] { return at_near_.writable > before; });

  EXPECT_TRUE(send(Buffer(std::string(20000, 'y'))));
}

TEST_F(ShmLaneTest, MemoryIsGivenBackWhenIdle) {
  at_gateway_.keep = false;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(send(Buffer(std::string(100000, 'x'))));
  ASSERT_TRUE(send(Buffer(std::string(1000000, 'x'))));
  run_until(loop_, [&] { return at_gateway_.count == 11; });
  ASSERT_GT(near_->counters().own_bytes, 1000000u);
  ASSERT_GT(listener_->counters().mapped_bytes, 1000000u);

  for (int i = 0; i < 3; ++i) {
    clock_.advance(std::chrono::seconds(3));
    loop_.turn(Nanos::zero());
  }
  run_until(loop_, [&] { return listener_->counters().mapped_bytes == shm::kBaseSize; });

  EXPECT_EQ(near_->counters().own_bytes, shm::kBaseSize);
  EXPECT_TRUE(send(Buffer(std::string(100000, 'y')))) << "and it grows again";
  run_until(loop_, [&] { return at_gateway_.count == 12; });
}

ino_t file_of(const Buffer& buffer) {
  struct stat about {};
  EXPECT_EQ(::fstat(buffer.memory()->sealed().fd, &about), 0);
  return about.st_ino;
}

TEST_F(ShmLaneTest, SealedBytesPassThroughLanesAsOneFile) {
  const auto second = connect();
  second->start(at_near_);
  const std::string bytes(100000, 'g');
  auto generation = sealed_copy(bytes);
  ASSERT_TRUE(generation);
  const ino_t file = file_of(*generation);
  auto shared = share_sealed(*generation);
  ASSERT_TRUE(shared);

  ASSERT_TRUE(send(*std::move(generation)));
  run_until(loop_, [&] { return at_gateway_.frames.size() == 1; });
  Buffer passed = std::move(at_gateway_.frames[0]).into_payload();
  EXPECT_EQ(file_of(passed), file);
  // The gateway's end of the second lane.
  ASSERT_TRUE(send(*gateways_[1], passed));
  run_until(loop_, [&] { return at_near_.frames.size() == 1; });

  const Buffer arrived = std::move(at_near_.frames[0]).into_payload();
  EXPECT_EQ(file_of(arrived), file);
  EXPECT_TRUE(arrived.view() == bytes);
  EXPECT_TRUE(shared->view() == bytes);
}

TEST_F(ShmLaneTest, BytesThatAreNotSealedCannotBeShared) {
  EXPECT_EQ(share_sealed(Buffer(std::string("x"))).error().code, Errc::kFailedPrecondition);
}

TEST_F(ShmLaneTest, AnotherBufferOfReceivedBytesLetsTheirSenderHaveItsMemoryBack) {
  for (const bool sealed : {true, false}) {
    const std::string bytes(10000, sealed ? 's' : 'a');
    auto payload = sealed ? sealed_copy(bytes) : Result<Buffer>(Buffer(std::string(bytes)));
    ASSERT_TRUE(payload);
    const ino_t file = sealed ? file_of(*payload) : 0;
    ASSERT_TRUE(send(*std::move(payload)));
    run_until(loop_, [&] { return at_gateway_.frames.size() == 1; });

    const Buffer kept = another(std::move(at_gateway_.frames[0]).into_payload());
    at_gateway_.frames.clear();

    EXPECT_TRUE(kept.view() == bytes);
    EXPECT_EQ(sealed ? file_of(kept) : 0, file);
    ASSERT_TRUE(send(Buffer(std::string(10000, 'n')))) << "which takes back what was lent";
    run_until(loop_, [&] { return at_gateway_.frames.size() == 1; });
    at_gateway_.frames.clear();
    loop_.turn(Nanos::zero());
    EXPECT_LE(near_->counters().lent, 1u);
  }
}

TEST_F(ShmLaneTest, NobodyRingsWhereBothAreAwake) {
  at_gateway_.keep = false;

  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(send(Buffer(std::string("x"))));
    loop_.turn(Nanos::zero());
  }
  run_until(loop_, [&] { return at_gateway_.count == 1000; });

  EXPECT_EQ(near_->counters().rings, 0u);
}

TEST_F(ShmLaneTest, ASecondListenerAtThePathIsRefused) {
  const auto second = make_shm_listener(loop_, path_, Spin::kOff);

  const auto listening = second->listen([](std::unique_ptr<Lane>) {});

  EXPECT_EQ(listening.error().code, Errc::kAlreadyExists);
}

}  // namespace
}  // namespace caisson
