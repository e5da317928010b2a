// What a listener takes from a peer that connects, and what it refuses.

#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>

#include "bus/shm_lane.hpp"
#include "bus/socket_file.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/link_rig.hpp"
#include "bus/testing/rogue_shm_peer.hpp"
#include "bus/testing/temporary_directory.hpp"

namespace caisson {
namespace {

using shm::HandOver;
using shm::kBaseSize;
using testing::ask;
using testing::echo;
using testing::LinkEnd;
using testing::RogueShmPeer;
using testing::run_until;

class ShmHandOverTest : public ::testing::Test {
 protected:
  ShmHandOverTest() : loop_(clock_), listener_(make_shm_listener(loop_, path_, Spin::kOff)) {
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      gateways_.push_back(std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, Link::Options{}, echo));
    });
    EXPECT_TRUE(listening);
  }

  /// The listener drops the peer, counts it, and still serves others.
  void expect_refused(RogueShmPeer& peer) {
    run_until(loop_, [&] { return peer.closed(); });
    EXPECT_EQ(listener_->counters().refused, 1u);
    EXPECT_TRUE(gateways_.empty());
    auto lane = connect_shm(loop_, path_, Spin::kOff);
    ASSERT_TRUE(lane);
    LinkEnd good(loop_, *std::move(lane), Side::kCapability, Link::Options{}, echo);
    run_until(loop_, [&] { return good.link->ready(); });
    EXPECT_TRUE(ask(loop_, *good.link, "still here"));
  }

  /// A memory file without any promise.
  static int plain_memory(std::size_t size) {
    const int fd = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(size)), 0);
    return fd;
  }

  testing::FakeClock clock_;
  testing::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "bus.sock").string();
  EventLoop loop_;
  std::unique_ptr<LaneListener> listener_;
  std::vector<std::unique_ptr<LinkEnd>> gateways_;
};

TEST_F(ShmHandOverTest, APeerThatHandsOverAsItShouldGetsALane) {
  RogueShmPeer peer(path_);

  peer.hand_over();
  peer.hello();
  run_until(loop_, [&] { return gateways_.size() == 1 && gateways_[0]->link->ready(); });

  EXPECT_EQ(listener_->counters().refused, 0u);
}

TEST_F(ShmHandOverTest, MemoryThatCouldShrinkIsRefused) {
  RogueShmPeer peer(path_);
  const FileDescriptor memory(plain_memory(kBaseSize));
  ASSERT_EQ(::fallocate(memory.get(), 0, 0, kBaseSize), 0);
  ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);

  peer.hand_over({}, {memory.get(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, MemoryThatOthersCouldWriteIsRefused) {
  RogueShmPeer peer(path_);
  const FileDescriptor memory(plain_memory(kBaseSize));
  ASSERT_EQ(::fallocate(memory.get(), 0, 0, kBaseSize), 0);
  ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);

  peer.hand_over({}, {memory.get(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, MemoryOfAnotherSizeThanAnnouncedIsRefused) {
  RogueShmPeer peer(path_);
  const auto memory = shm::make_shared_memory(kBaseSize / 2);
  ASSERT_TRUE(memory);

  peer.hand_over({}, {memory->fd.get(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, AnAnnouncedSizeThatIsNotTheLayoutsIsRefused) {
  RogueShmPeer peer(path_);
  HandOver message;
  message.segment_size = ~std::uint64_t{0};

  peer.hand_over(message, {peer.memory(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, MemoryThatWasNeverTouchedIsRefused) {
  RogueShmPeer peer(path_);
  const FileDescriptor memory(plain_memory(kBaseSize));
  ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);

  peer.hand_over({}, {memory.get(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, AFileOnADiskIsRefused) {
  RogueShmPeer peer(path_);
  const std::string file = (directory_.path() / "file").string();
  const FileDescriptor memory(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(memory.get(), kBaseSize), 0);

  peer.hand_over({}, {memory.get(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, TooFewDescriptorsAreRefused) {
  RogueShmPeer peer(path_);

  peer.hand_over({}, {peer.memory()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, NoDescriptorsAreRefused) {
  RogueShmPeer peer(path_);

  peer.hand_over({}, {});

  expect_refused(peer);
}

/// How many descriptors this process has open.
std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

TEST_F(ShmHandOverTest, TooManyDescriptorsAreRefusedAndAllClosed) {
  RogueShmPeer peer(path_);
  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
  const std::size_t before = open_descriptors();

  const int m = peer.memory();
  const int b = peer.bell();
  peer.hand_over({}, {m, b, b, m, b, b, m, b, b, b, b, b});
  run_until(loop_, [&] { return peer.closed(); });

  EXPECT_LT(open_descriptors(), before);  // without the connection itself
  expect_refused(peer);
}

TEST_F(ShmHandOverTest, ABellThatIsNoPipeIsRefused) {
  RogueShmPeer peer(path_);

  peer.hand_over({}, {peer.memory(), peer.socket().fd()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, TheWrongEndOfAPipeIsRefused) {
  RogueShmPeer peer(path_);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const FileDescriptor read_end(ends[0]);
  const FileDescriptor write_end(ends[1]);

  peer.hand_over({}, {peer.memory(), write_end.get()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, DescriptorsInTheWrongOrderAreRefused) {
  RogueShmPeer peer(path_);

  peer.hand_over({}, {peer.bell(), peer.memory()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, AnotherVersionIsRefused) {
  RogueShmPeer peer(path_);
  HandOver message;
  message.abi = shm::kAbi + 1;

  peer.hand_over(message, {peer.memory(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, NonsenseIsRefused) {
  RogueShmPeer peer(path_);
  const std::string nonsense(60, '\x7f');

  peer.send(nonsense.data(), nonsense.size(), {});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, AShortMessageIsRefused) {
  RogueShmPeer peer(path_);

  peer.send("x", 1, {peer.memory(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, ALongMessageIsRefused) {
  RogueShmPeer peer(path_);
  const std::string bytes(4096, '\0');

  peer.send(bytes.data(), bytes.size(), {peer.memory(), peer.bell()});

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, APeerThatSaysNothingIsDropped) {
  RogueShmPeer peer(path_);
  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
  ASSERT_FALSE(peer.closed());

  clock_.advance(std::chrono::seconds(3));

  expect_refused(peer);
}

TEST_F(ShmHandOverTest, AStormOfPeersIsTakenInPortions) {
  // Time stands still: whatever comes, comes within one second.
  int connected = 0;
  for (int i = 0; i < 120; ++i) {
    if (shm::ControlSocket::connect(path_)) ++connected;
  }
  ASSERT_GT(connected, 110);
  for (int i = 0; i < 300; ++i) loop_.turn(Nanos::zero());
  const auto first_second = listener_->counters().refused;

  clock_.advance(std::chrono::milliseconds(1100));
  run_until(loop_, [&] { return listener_->counters().refused == static_cast<std::uint64_t>(connected); });

  EXPECT_EQ(first_second, 100u);
}

TEST_F(ShmHandOverTest, AListenerThatSaysNothingEndsTheLane) {
  const std::string silent = (directory_.path() / "silent.sock").string();
  auto file = SocketFile::listen(silent, SOCK_SEQPACKET);
  ASSERT_TRUE(file);
  LinkEnd end(loop_, *connect_shm(loop_, silent, Spin::kOff), Side::kCapability, Link::Options{}, echo);
  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
  ASSERT_EQ(end.downs, 0);

  clock_.advance(std::chrono::seconds(6));
  run_until(loop_, [&] { return end.downs == 1; });

  EXPECT_EQ(end.reason_of_down->code, Errc::kUnavailable);
}

TEST_F(ShmHandOverTest, NobodyThereIsToldByTheLane) {
  const std::string nowhere = (directory_.path() / "nowhere.sock").string();
  LinkEnd end(loop_, *connect_shm(loop_, nowhere, Spin::kOff), Side::kCapability, Link::Options{}, echo);

  run_until(loop_, [&] { return end.downs == 1; });

  EXPECT_EQ(end.reason_of_down->code, Errc::kUnavailable);
}

/// What the peer gets it can only read: the other half of the bargain.
TEST(ShmMemoryTest, WhoGetsTheDescriptorCanOnlyRead) {
  const auto file = shm::make_shared_memory(kBaseSize);
  ASSERT_TRUE(file);
  const int fd = file->fd.get();

  EXPECT_EQ(::mmap(nullptr, kBaseSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  void* const readable = ::mmap(nullptr, kBaseSize, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(readable, MAP_FAILED);
  EXPECT_NE(::mprotect(readable, kBaseSize, PROT_READ | PROT_WRITE), 0);
  EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(fd, 0), 0);
  EXPECT_NE(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  EXPECT_NE(::madvise(file->mapping.data(), 4096, MADV_REMOVE), 0);
  const std::string again = "/proc/self/fd/" + std::to_string(fd);
  const FileDescriptor reopened(::open(again.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(::mmap(nullptr, kBaseSize, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0), MAP_FAILED);
  ::munmap(readable, kBaseSize);
}

}  // namespace
}  // namespace caisson
