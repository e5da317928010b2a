// A peer that hands over as it should and then misbehaves: its lane goes down with an error and is counted,
// nothing else happens.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "bus/shm_inbox.hpp"
#include "bus/shm_lane.hpp"
#include "bus/shm_outbox.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/link_rig.hpp"
#include "bus/testing/rogue_shm_peer.hpp"
#include "bus/testing/sanitizers.hpp"
#include "bus/testing/temporary_directory.hpp"

namespace caisson {
namespace {

using shm::Control;
using shm::ControlKind;
using shm::RecordHead;
using testing::ask;
using testing::encoded;
using testing::LinkEnd;
using testing::RogueShmPeer;
using testing::run_until;

std::string status() {
  Envelope envelope;
  envelope.kind = wire::Kind::Status;
  return encoded(envelope);
}

class ShmRogueTest : public ::testing::Test {
 protected:
  ShmRogueTest() : loop_(clock_), listener_(make_shm_listener(loop_, path_, Spin::kOff)) {
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      gateways_.push_back(
          std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, Link::Options{}, testing::echo));
    });
    EXPECT_TRUE(listening);
    peer_.emplace(path_);
    peer_->hand_over();
    peer_->hello();
    run_until(loop_, [&] { return gateways_.size() == 1 && gateways_[0]->link->ready(); });
  }

  LinkEnd& gateway() { return *gateways_[0]; }

  /// The lane is down for a reason that names the peer's fault; others are served.
  void expect_down(const std::string& why) {
    run_until(loop_, [&] { return gateway().downs == 1; });
    EXPECT_NE(gateway().reason_of_down->message.find(why), std::string::npos) << gateway().reason_of_down->message;
    EXPECT_EQ(gateway().link->lane().counters().refused, 1u);
    EXPECT_TRUE(peer_->closed());
    LinkEnd good(loop_, *connect_shm(loop_, path_, Spin::kOff), Side::kCapability, Link::Options{}, testing::echo);
    run_until(loop_, [&] { return good.link->ready(); });
    EXPECT_TRUE(ask(loop_, *good.link, "still here"));
  }

  /// Sends the peer something that it must give back: a chunk of the gateway's.
  void lend_to_peer() {
    Envelope envelope;
    envelope.kind = wire::Kind::Status;
    Buffer payload(std::string(10000, 'l'));
    ASSERT_TRUE(gateway().link->send(envelope, payload));
  }
  /// Makes the gateway look at what was given back.
  void make_gateway_look() {
    clock_.advance(std::chrono::seconds(3));
    loop_.turn(Nanos::zero());
  }
  std::uint32_t* release_ring() { return reinterpret_cast<std::uint32_t*>(peer_->bytes() + shm::kReleaseRingAt); }

  testing::FakeClock clock_;
  testing::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "bus.sock").string();
  EventLoop loop_;
  std::unique_ptr<LaneListener> listener_;
  std::vector<std::unique_ptr<LinkEnd>> gateways_;
  std::optional<RogueShmPeer> peer_;
};

// --- cursors ---

TEST_F(ShmRogueTest, ATailFarAheadEndsTheLane) {
  peer_->cursors().tx_tail.store(peer_->written() + 2 * shm::kRingSize);

  expect_down("tail");
}

TEST_F(ShmRogueTest, ATailThatGoesBackEndsTheLane) {
  peer_->cursors().tx_tail.store(0);

  expect_down("tail");
}

TEST_F(ShmRogueTest, ATailBetweenTwoLinesEndsTheLane) {
  peer_->cursors().tx_tail.store(peer_->written() + 8);

  expect_down("tail");
}

TEST_F(ShmRogueTest, AHeadBeyondWhatWasWrittenEndsTheLane) {
  peer_->cursors().rx_head.store(std::uint64_t{1} << 40);
  Envelope envelope;
  envelope.kind = wire::Kind::Status;
  // The gateway looks when its ring is full.
  for (int i = 0; i < 2000 && gateway().downs == 0; ++i) {
    Buffer payload(std::string(100, 'x'));
    if (!gateway().link->send(envelope, payload)) loop_.turn(Nanos::zero());
  }

  expect_down("read what was not written");
}

// --- records ---

struct BadRecord {
  const char* name;
  void (*change)(RecordHead& head);
  const char* why;
};

class ShmBadRecordTest : public ShmRogueTest, public ::testing::WithParamInterface<BadRecord> {};

TEST_P(ShmBadRecordTest, EndsTheLane) {
  const std::uint64_t at = peer_->written();
  // Written before it is published: what changes later is another test's.
  const std::string envelope = status();
  peer_->put(envelope, "payload");
  GetParam().change(peer_->record_at(at));

  expect_down(GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(
    Records, ShmBadRecordTest,
    ::testing::Values(
        BadRecord{"NoLength", [](RecordHead& h) { h.length = 0; }, "length"},
        BadRecord{"OddLength", [](RecordHead& h) { h.length = 65; }, "length"},
        BadRecord{"LengthBeyondTheTail", [](RecordHead& h) { h.length = 4096; }, "length"},
        BadRecord{"HugeLength", [](RecordHead& h) { h.length = 0xffffffc0; }, "length"},
        BadRecord{"Sequence", [](RecordHead& h) { h.sequence += 1; }, "sequence"},
        BadRecord{"PaddingInTheMiddle", [](RecordHead& h) { h.envelope_size = 0; }, "padding"},
        BadRecord{"EnvelopeBeyondTheRecord", [](RecordHead& h) { h.envelope_size = 2000; }, "outside"},
        BadRecord{"EnvelopeOverTheLimit", [](RecordHead& h) { h.envelope_size = kMaxEnvelope + 1; }, "envelope"},
        BadRecord{"PayloadBeyondTheRecord", [](RecordHead& h) { h.payload_size = 2000; }, "outside"},
        BadRecord{"PayloadOverTheLimit", [](RecordHead& h) { h.payload_size = 0xffffffff; }, "payload"},
        BadRecord{"UnknownSegment", [](RecordHead& h) { h.payload.segment = 77; }, "not announced"},
        BadRecord{"UnknownSegmentOfTheEnvelope", [](RecordHead& h) { h.envelope.segment = 77; }, "not announced"},
        BadRecord{"NoEnvelope", [](RecordHead& h) { h.envelope_size = 8; }, "envelope"}),
    [](const auto& instance) { return instance.param.name; });

TEST_F(ShmRogueTest, ARecordWithMoreInsideThanFitsABlockEndsTheLane) {
  RecordHead head;
  head.envelope_size = shm::kMaxInline + 8;
  peer_->put(head, std::string(shm::kMaxInline + 8, 'e'));

  expect_down("outside");
}

TEST_F(ShmRogueTest, BytesOutsideASegmentEndTheLane) {
  const auto memory = shm::make_shared_memory(65536);
  peer_->control({ControlKind::kArena, 1, 65536}, {memory->fd.get()});
  RecordHead head;
  const std::string envelope = status();
  head.envelope_size = static_cast<std::uint32_t>(envelope.size());
  head.payload_size = 4096;
  head.payload = {1, 65536 - 4095, 7};
  peer_->put(head, envelope);

  expect_down("outside a segment");
}

TEST_F(ShmRogueTest, AFileIsGoodForOneRecord) {
  const auto file = shm::make_sealed_file(std::string(70000, 'f'));
  peer_->control({ControlKind::kFile, 1, 70000}, {file->get()});
  RecordHead head;
  const std::string envelope = status();
  head.envelope_size = static_cast<std::uint32_t>(envelope.size());
  head.payload_size = 70000;
  head.payload = {1, 0, 7};
  peer_->put(head, envelope);
  run_until(loop_, [&] { return gateway().controls.size() == 2; });

  peer_->put(head, envelope);

  expect_down("not announced");
}

TEST_F(ShmRogueTest, OneFileForBothPartsEndsTheLane) {
  const auto file = shm::make_sealed_file(std::string(70000, 'f'));
  peer_->control({ControlKind::kFile, 1, 70000}, {file->get()});
  RecordHead head;
  head.envelope_size = 3000;
  head.payload_size = 3000;
  head.envelope = {1, 0, 7};
  head.payload = {1, 3000, 8};
  peer_->put(head, "");

  expect_down("more than it may");
}

// --- the control socket ---

TEST_F(ShmRogueTest, AFileThatCouldStillBeWrittenEndsTheLane) {
  const auto memory = shm::make_shared_memory(70000);
  peer_->control({ControlKind::kFile, 1, 70000}, {memory->fd.get()});

  expect_down("seal");
}

TEST_F(ShmRogueTest, TheSameNumberTwiceEndsTheLane) {
  const auto memory = shm::make_shared_memory(65536);
  for (int i = 0; i < 2; ++i) peer_->control({ControlKind::kArena, 1, 65536}, {memory->fd.get()});

  expect_down("twice");
}

TEST_F(ShmRogueTest, TooManySegmentsEndTheLane) {
  const auto memory = shm::make_shared_memory(4096);
  for (std::uint32_t i = 1; i <= shm::kMaxArenaSegments + 1; ++i) {
    peer_->control({ControlKind::kArena, i, 4096}, {memory->fd.get()});
  }

  expect_down("more memory than it may");
}

TEST_F(ShmRogueTest, TooLargeASegmentEndsTheLane) {
  const auto memory = shm::make_shared_memory(2 * shm::kMaxArenaSegment);
  peer_->control({ControlKind::kArena, 1, 2 * shm::kMaxArenaSegment}, {memory->fd.get()});

  expect_down("more memory than it may");
}

TEST_F(ShmRogueTest, TooManyFilesEndTheLane) {
  const auto file = shm::make_sealed_file("f");
  for (std::uint32_t i = 1; i <= shm::kMaxFiles + 1 && gateway().downs == 0; ++i) {
    peer_->control({ControlKind::kFile, i, 1}, {file->get()});
    loop_.turn(Nanos::zero());
  }

  expect_down("more memory than it may");
}

TEST_F(ShmRogueTest, RetiringWhatIsNotThereEndsTheLane) {
  peer_->control({ControlKind::kRetire, 5, 0}, {});

  expect_down("retires");
}

TEST_F(ShmRogueTest, AControlMessageWithoutItsDescriptorEndsTheLane) {
  peer_->control({ControlKind::kArena, 1, 65536}, {});

  expect_down("descriptors");
}

TEST_F(ShmRogueTest, AnUnknownControlMessageEndsTheLane) {
  peer_->control({static_cast<ControlKind>(9), 1, 65536}, {});

  expect_down("control message");
}

TEST_F(ShmRogueTest, ASecondHandOverEndsTheLane) {
  peer_->hand_over();

  expect_down("control message");
}

// --- what is given back ---

TEST_F(ShmRogueTest, GivingBackWhatWasNeverLentEndsTheLane) {
  lend_to_peer();
  release_ring()[0] = 12345;
  peer_->cursors().release_tail.store(1);

  make_gateway_look();

  expect_down("does not have");
}

TEST_F(ShmRogueTest, GivingBackMoreThanWasLentEndsTheLane) {
  lend_to_peer();
  peer_->cursors().release_tail.store(900);

  make_gateway_look();

  expect_down("gives back more");
}

TEST_F(ShmRogueTest, GivingBackTwiceEndsTheLane) {
  lend_to_peer();
  lend_to_peer();
  // The first loan of a lane has the first slot and generation.
  release_ring()[0] = release_ring()[1] = 1U << 16;
  peer_->cursors().release_tail.store(2);

  make_gateway_look();

  expect_down("does not have");
}

// --- when the lane rings ---

class ShmRingsTest : public ShmRogueTest {
 protected:
  ShmRingsTest() {
    auto message = peer_->socket().receive();
    EXPECT_EQ(message.fd_count, 2u);
    bell_ = std::move(message.fds[1]);
  }
  /// Rings since the last call.
  int rings() {
    for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
    char bytes[64];
    const auto got = ::read(bell_.get(), bytes, sizeof bytes);
    return got < 0 ? 0 : static_cast<int>(got);
  }
  void send() {
    Envelope envelope;
    envelope.kind = wire::Kind::Status;
    Buffer nothing;
    EXPECT_TRUE(gateway().link->send(envelope, nothing));
  }

  FileDescriptor bell_;
};

TEST_F(ShmRingsTest, ASleeperIsRungOnceInEachSleep) {
  ASSERT_EQ(rings(), 0);
  send();
  EXPECT_EQ(rings(), 0) << "it was awake";

  peer_->cursors().wake.store(1);
  for (int i = 0; i < 3; ++i) send();
  EXPECT_EQ(rings(), 1);
  send();
  EXPECT_EQ(rings(), 0);

  peer_->cursors().wake.store(2);
  peer_->cursors().wake.store(3);
  send();
  EXPECT_EQ(rings(), 1);
}

TEST_F(ShmRingsTest, ASleeperThatWantsRoomIsRungWhenItsFramesWereRead) {
  peer_->cursors().wake.store(1);
  peer_->put(status(), "x");
  EXPECT_EQ(rings(), 0) << "it waits for nothing";

  peer_->cursors().wants_room.store(1);
  peer_->put(status(), "y");

  EXPECT_EQ(rings(), 1);
}

// --- storms ---

TEST_F(ShmRogueTest, APeerThatRingsForNothingIsHeardLessAndThenNotAtAll) {
  int rings = 0;
  while (gateway().downs == 0 && rings < 100'000) {
    peer_->ring_bell();
    loop_.turn(Nanos::zero());
    ++rings;
    if (rings % 1500 == 0) clock_.advance(std::chrono::milliseconds(1100));
  }

  EXPECT_LT(gateway().link->lane().counters().wakes, 3100u);
  expect_down("rings without end");
}

TEST_F(ShmRogueTest, APeerThatIsMutedForAWhileIsStillServed) {
  for (int i = 0; i < 1500; ++i) {
    peer_->ring_bell();
    loop_.turn(Nanos::zero());
  }

  peer_->put(status(), "now");
  run_until(loop_, [&] { return gateway().controls.size() == 2; });

  EXPECT_EQ(gateway().controls.back(), "Status:now");
}

// --- everything at once ---

volatile std::size_t sink;

void use(const Frame& frame) {
  std::size_t sum = frame->id() + text(frame->path()).size();
  for (const char c : frame.payload()) sum += static_cast<unsigned char>(c);
  for (const Field field : frame.headers()) sum += field.name.size() + field.value.size();
  sink = sum;
}

std::string busy_envelope() {
  const Field headers[] = {{"content-type", "text/plain"}, {"etag", "17"}};
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.id = 5;
  envelope.path = "/v1.0/state/store/key";
  envelope.headers = headers;
  return encoded(envelope);
}

/// One receiving and one sending half against memory that the test spoils.
struct Victim {
  /// Its own memory is of no interest to anybody here.
  static shm::MemoryFile private_memory() {
    void* const at = ::mmap(nullptr, shm::kBaseSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return {FileDescriptor(), shm::Mapping(static_cast<char*>(at), shm::kBaseSize)};
  }
  explicit Victim(RogueShmPeer& peer)
      : outbox(new shm::Outbox(private_memory(), socket)),
        inbox(new shm::Inbox(*shm::map_from_peer(peer.memory(), shm::kBaseSize, shm::Writer::kItsCreator),
                             outbox->cursors(), outbox->release_ring(), budget)) {
    outbox->attach(inbox->peer_base());
  }

  std::shared_ptr<shm::MappedBudget> budget = std::make_shared<shm::MappedBudget>();
  shm::ControlSocket socket;
  shm::Lender::Owner<shm::Outbox> outbox;
  shm::Lender::Owner<shm::Inbox> inbox;
};

TEST(ShmInboxTest, ASegmentThatIsRetiredInUseStaysReadableAndThenGoes) {
  RogueShmPeer peer;
  Victim victim(peer);
  victim.budget->limit = ~std::size_t{0} / 2;
  auto memory = shm::make_shared_memory(65536);
  std::fill_n(memory->mapping.data(), 65536, 'm');
  ASSERT_TRUE(victim.inbox->take({ControlKind::kArena, 1, 65536}, std::move(memory->fd)));
  const std::string envelope = status();
  RecordHead head;
  head.envelope_size = static_cast<std::uint32_t>(envelope.size());
  head.payload_size = 65536;
  head.payload = {1, 0, 7};
  peer.put(head, envelope);
  std::optional<Frame> frame;
  victim.inbox->look();
  ASSERT_EQ(victim.inbox->next(frame), shm::Inbox::What::kFrame);

  ASSERT_TRUE(victim.inbox->take({ControlKind::kRetire, 1, 0}, FileDescriptor()));

  EXPECT_EQ(frame->payload(), std::string(65536, 'm'));
  EXPECT_EQ(victim.budget->used, shm::kBaseSize + 65536);
  frame.reset();
  EXPECT_EQ(victim.budget->used, shm::kBaseSize);
  EXPECT_EQ(victim.outbox->cursors().release_tail.load(), 1u);
  EXPECT_EQ(victim.outbox->release_ring()[0], 7u);
}

TEST(ShmCorruptionTest, AMillionCorruptionsNeverCrash) {
  constexpr int kCorruptions = 1'000'000;
  std::mt19937_64 random(20'26);
  const std::string envelope = busy_envelope();
  int done = 0;
  std::size_t refused = 0;
  std::size_t taken = 0;
  RogueShmPeer peer;
  while (done < kCorruptions) {
    peer.start_over();
    Victim victim(peer);
    victim.budget->limit = ~std::size_t{0} / 2;
    bool bad = false;
    while (!bad && done < kCorruptions) {
      const std::uint64_t begin = peer.written();
      for (int i = 0; i < 4; ++i) peer.put(envelope, std::string(random() % 200, 'p'));
      const int count = 1 + static_cast<int>(random() % 64);
      for (int i = 0; i < count; ++i, ++done) {
        const std::uint64_t where = random() % 16;
        auto& cursors = peer.cursors();
        const std::uint64_t value = random() >> random() % 64;
        if (where == 0) {
          cursors.tx_tail.store(random() % 2 == 0 ? value : cursors.tx_tail.load() + value % 4096);
        } else if (where == 1) {
          cursors.rx_head.store(value);
        } else if (where == 2) {
          cursors.release_tail.store(value % 2048);
        } else if (where < 8) {
          // The heads of records, word by word.
          auto* const words = reinterpret_cast<std::uint32_t*>(&peer.record_at(begin));
          words[random() % 10] = static_cast<std::uint32_t>(random() % 3 == 0 ? value : value % 4096);
        } else {
          const std::size_t at = shm::kRingAt + (begin + random() % 1024) % shm::kRingSize;
          peer.bytes()[at] = static_cast<char>(peer.bytes()[at] ^ (1 << random() % 8));
        }
      }
      std::optional<Frame> frame;
      auto what = victim.inbox->look();
      while (what == shm::Inbox::What::kFrame || what == shm::Inbox::What::kNothing) {
        what = victim.inbox->next(frame);
        if (what != shm::Inbox::What::kFrame) break;
        ++taken;
        use(*frame);
        frame.reset();
      }
      bad = what != shm::Inbox::What::kNothing;
      victim.inbox->tell_read();
      Buffer payload(std::string(64, 'o'));
      const auto sent =
          victim.outbox->publish({reinterpret_cast<const std::uint8_t*>(envelope.data()), envelope.size()}, payload);
      bad |= !victim.outbox->take_back() || (!sent && sent.error().code == Errc::kDataLoss);
    }
    refused += bad ? 1 : 0;
  }
  EXPECT_GT(refused, 10'000u);
  EXPECT_GT(taken, 1000u);
}

#ifndef CAISSON_UNDER_TSAN  // the race is the point
TEST(ShmCorruptionTest, APeerThatRewritesWhatIsBeingReadNeverCrashes) {
  const std::string envelope = busy_envelope();
  std::size_t refused = 0;
  std::size_t taken = 0;
  // Until the two have met, however busy the machine is.
  for (int round = 0; round < 150 || (refused == 0 && round < 20'000); ++round) {
    RogueShmPeer peer;
    Victim victim(peer);
    victim.budget->limit = ~std::size_t{0} / 2;
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      std::mt19937 random(static_cast<unsigned>(round));
      auto* const words = reinterpret_cast<volatile std::uint32_t*>(peer.bytes() + shm::kRingAt);
      while (!stop.load(std::memory_order_relaxed)) {
        const std::size_t at = random() % (shm::kRingSize / 4);
        const std::uint32_t before = words[at];
        words[at] = random() % 2 == 0 ? random() : before ^ (1U << random() % 32);
        words[at] = before;
      }
    });
    for (int i = 0; i < 2000; ++i) {
      peer.put(envelope, "payload");
      std::optional<Frame> frame;
      auto what = victim.inbox->look();
      if (what == shm::Inbox::What::kFrame) what = victim.inbox->next(frame);
      if (frame) {
        ++taken;
        use(*frame);
      }
      if (what == shm::Inbox::What::kBad || what == shm::Inbox::What::kNeedsSegment) {
        ++refused;
        break;
      }
    }
    stop = true;
    writer.join();
  }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, 0u);
}
#endif

}  // namespace
}  // namespace caisson
