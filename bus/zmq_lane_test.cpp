#include "bus/zmq_lane.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <filesystem>
#include <string>
#include <vector>

#include "bus/socket_file.hpp"
#include "bus/testing/link_rig.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "bus/transport.hpp"

namespace caisson {
namespace {

using testing::ask;
using testing::echo;
using testing::LinkEnd;
using testing::run_until;

/// A ZeroMQ socket that sends what it likes.
class RawPeer {
 public:
  RawPeer(int type, const std::string& address, bool bind = false)
      : context_(zmq_ctx_new()), socket_(zmq_socket(context_, type)) {
    const int linger = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
    const int failed = bind ? zmq_bind(socket_, address.c_str()) : zmq_connect(socket_, address.c_str());
    EXPECT_EQ(failed, 0);
  }
  RawPeer(const RawPeer&) = delete;
  ~RawPeer() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  void send(const std::vector<std::string>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const int flags = i + 1 < parts.size() ? ZMQ_SNDMORE : 0;
      ASSERT_EQ(zmq_send(socket_, parts[i].data(), parts[i].size(), flags), static_cast<int>(parts[i].size()));
    }
  }
  /// One message's parts, empty when there is none.
  std::vector<std::string> receive() {
    std::vector<std::string> parts;
    int more = 1;
    while (more != 0) {
      zmq_msg_t message;
      zmq_msg_init(&message);
      if (zmq_msg_recv(&message, socket_, ZMQ_DONTWAIT) < 0) return parts;
      parts.emplace_back(static_cast<char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
      more = zmq_msg_more(&message);
      zmq_msg_close(&message);
    }
    return parts;
  }

 private:
  void* context_;
  void* socket_;
};

std::string encoded(const Envelope& envelope) {
  flatbuffers::FlatBufferBuilder builder;
  const auto bytes = encode(builder, envelope);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hello() {
  Envelope envelope;
  envelope.kind = wire::Kind::Hello;
  return encoded(envelope);
}

class ZmqLaneTest : public ::testing::Test {
 protected:
  ZmqLaneTest() : loop_(clock_), transport_(loop_) {
    auto made = transport_.make_listener(address_);
    listener_ = *std::move(made);
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      gateways_.push_back(std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, Link::Options{}, echo));
    });
    EXPECT_TRUE(listening) << listening.error().message;
  }

  std::unique_ptr<LinkEnd> capability() {
    auto lane = transport_.connect(address_);
    EXPECT_TRUE(lane);
    auto end = std::make_unique<LinkEnd>(loop_, *std::move(lane), Side::kCapability, Link::Options{}, echo);
    run_until(loop_, [&] { return end->link->ready(); });
    return end;
  }

  /// The listener refuses one frame more than before, and still serves others.
  void expect_refused(std::uint64_t count) {
    run_until(loop_, [&] { return listener_->counters().refused >= count; });
    EXPECT_EQ(listener_->counters().refused, count);
    const auto other = capability();
    EXPECT_TRUE(ask(loop_, *other->link, "still here"));
  }

  SystemClock clock_;
  testing::TemporaryDirectory directory_;
  std::string path_ = (directory_.path() / "bus.sock").string();
  std::string address_ = "ipc://" + path_;
  EventLoop loop_;
  Transport transport_;
  std::unique_ptr<LaneListener> listener_;
  std::vector<std::unique_ptr<LinkEnd>> gateways_;
};

// --- what a peer may send ---

TEST_F(ZmqLaneTest, GarbageFromAStrangerMakesNoLane) {
  RawPeer peer(ZMQ_DEALER, address_);

  peer.send({"this is no envelope", "payload"});

  run_until(loop_, [&] { return listener_->counters().refused == 1; });
  EXPECT_TRUE(gateways_.empty());
  expect_refused(1);
}

TEST_F(ZmqLaneTest, GarbageAfterTheHelloEndsThatLaneOnly) {
  RawPeer peer(ZMQ_DEALER, address_);
  peer.send({hello(), ""});
  run_until(loop_, [&] { return gateways_.size() == 1 && gateways_[0]->link->ready(); });

  peer.send({std::string(200, '\x7f'), ""});
  run_until(loop_, [&] { return gateways_[0]->downs == 1; });

  EXPECT_EQ(gateways_[0]->link->lane().counters().refused, 1u);
  expect_refused(1);
}

TEST_F(ZmqLaneTest, ATruncatedEnvelopeIsRefused) {
  const std::string whole = hello();
  RawPeer peer(ZMQ_DEALER, address_);

  peer.send({whole.substr(0, whole.size() - 4), ""});

  expect_refused(1);
}

TEST_F(ZmqLaneTest, AFrameOfOneOrThreePartsIsRefused) {
  RawPeer one(ZMQ_DEALER, address_);
  RawPeer three(ZMQ_DEALER, address_);

  one.send({hello()});
  three.send({hello(), "", "surplus"});

  expect_refused(2);
}

TEST_F(ZmqLaneTest, AnEnvelopeOverTheLimitIsRefused) {
  const std::string long_path(kMaxEnvelope, 'p');
  Envelope envelope;
  envelope.kind = wire::Kind::Hello;
  envelope.path = long_path;
  RawPeer peer(ZMQ_DEALER, address_);

  peer.send({encoded(envelope), ""});

  expect_refused(1);
}

TEST_F(ZmqLaneTest, APayloadOverTheLimitIsRefused) {
  RawPeer peer(ZMQ_DEALER, address_);

  peer.send({hello(), std::string(kMaxPayload + 1, 'x')});

  expect_refused(1);
}

TEST_F(ZmqLaneTest, APayloadFarOverTheLimitBreaksItsConnection) {
  RawPeer peer(ZMQ_DEALER, address_);
  peer.send({hello(), ""});
  run_until(loop_, [&] { return gateways_.size() == 1 && gateways_[0]->link->ready(); });

  peer.send({hello(), std::string(2 * kMaxPayload, 'x')});
  run_until(loop_, [&] { return gateways_[0]->downs == 1; });

  expect_refused(0);
}

TEST_F(ZmqLaneTest, AFrameBeforeTheHelloEndsTheLink) {
  Envelope envelope;
  envelope.kind = wire::Kind::Status;
  RawPeer peer(ZMQ_DEALER, address_);

  peer.send({encoded(envelope), ""});
  run_until(loop_, [&] { return gateways_.size() == 1 && gateways_[0]->downs == 1; });

  EXPECT_EQ(gateways_[0]->reason_of_down->code, Errc::kDataLoss);
}

TEST_F(ZmqLaneTest, APeerWhoseLaneIsOverIsToldAndItsFurtherFramesAreIgnored) {
  RawPeer peer(ZMQ_DEALER, address_);
  peer.send({hello(), ""});
  run_until(loop_, [&] { return gateways_.size() == 1; });

  gateways_.clear();
  std::vector<std::string> told;
  run_until(loop_, [&] {
    told = peer.receive();
    return told.size() == 1;  // the link's own HELLO has two parts
  });
  peer.send({hello(), ""});
  const auto frames = listener_->counters().frames_in;
  run_until(loop_, [&] { return listener_->counters().frames_in > frames; });

  EXPECT_TRUE(told[0].empty());
  EXPECT_TRUE(gateways_.empty());
  expect_refused(0);
}

TEST_F(ZmqLaneTest, BytesThatAreNoZeroMqDoNoHarm) {
  const int peer = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(500, '\xff');
  EXPECT_GT(::send(peer, request.data(), request.size(), MSG_NOSIGNAL), 0);

  expect_refused(0);
  ::close(peer);
}

TEST_F(ZmqLaneTest, GarbageFromAGatewayEndsTheCapabilitysLane) {
  const std::string address = "ipc://" + (directory_.path() / "raw.sock").string();
  RawPeer gateway(ZMQ_ROUTER, address, true);
  auto lane = transport_.connect(address);
  ASSERT_TRUE(lane);
  LinkEnd end(loop_, *std::move(lane), Side::kCapability, Link::Options{}, echo);
  std::vector<std::string> first;
  run_until(loop_, [&] {
    first = gateway.receive();
    return !first.empty();
  });

  gateway.send({first[0], "no envelope", ""});
  run_until(loop_, [&] { return end.downs == 1; });

  EXPECT_EQ(end.link->lane().counters().refused, 1u);
}

// --- addresses ---

TEST_F(ZmqLaneTest, TheSocketIsForItsOwnerOnly) {
  struct stat status {};

  ASSERT_EQ(::stat(path_.c_str(), &status), 0);

  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ZmqLaneTest, InASetGroupIdFolderTheFoldersGroupMayConnect) {
  const auto folder = directory_.path() / "state";
  std::filesystem::create_directory(folder);
  ASSERT_EQ(::chmod(folder.c_str(), 02770), 0);
  const std::string path = (folder / "bus.sock").string();
  const auto listener = *transport_.make_listener("ipc://" + path);

  ASSERT_TRUE(listener->listen([](std::unique_ptr<Lane>) {}));

  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
}

TEST_F(ZmqLaneTest, ASecondListenerIsRefusedAndTheFirstServesOn) {
  auto second = transport_.make_listener(address_);
  ASSERT_TRUE(second);

  const auto listening = (*second)->listen([](std::unique_ptr<Lane>) {});

  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, Errc::kAlreadyExists);
  EXPECT_NE(listening.error().message.find(path_), std::string::npos);
  second->reset();
  EXPECT_TRUE(ask(loop_, *capability()->link, "x"));
}

TEST_F(ZmqLaneTest, AClosedListenersAddressIsFreeAtOnce) {
  for (int i = 0; i < 20; ++i) {
    gateways_.clear();
    listener_.reset();
    EXPECT_NE(::access(path_.c_str(), F_OK), 0);
    auto made = transport_.make_listener(address_);
    listener_ = *std::move(made);
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      gateways_.push_back(std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, Link::Options{}, echo));
    });
    ASSERT_TRUE(listening) << listening.error().message;
    ASSERT_TRUE(ask(loop_, *capability()->link, "x"));
  }
}

TEST_F(ZmqLaneTest, AFileThatIsNoSocketIsLeftAlone) {
  const std::string path = (directory_.path() / "notes.txt").string();
  ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  auto made = transport_.make_listener("ipc://" + path);

  const auto listening = (*made)->listen([](std::unique_ptr<Lane>) {});

  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, Errc::kAlreadyExists);
  made->reset();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST_F(ZmqLaneTest, ADirectoryThatIsMissingIsNamed) {
  auto made = transport_.make_listener("ipc:///nonexistent/dir/bus.sock");

  const auto listening = (*made)->listen([](std::unique_ptr<Lane>) {});

  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, Errc::kNotFound);
  EXPECT_NE(listening.error().message.find("/nonexistent/dir"), std::string::npos);
}

TEST_F(ZmqLaneTest, AConnectionNobodyListensForGoesDown) {
  for (const std::string& address : {std::string("ipc://" + path_ + ".none"), std::string("tcp://127.0.0.1:1"),
                                     std::string("tcp://no..such.host:1")}) {
    auto lane = transport_.connect(address);
    ASSERT_TRUE(lane);

    LinkEnd end(loop_, *std::move(lane), Side::kCapability, Link::Options{}, echo);
    run_until(loop_, [&] { return end.downs == 1; });

    EXPECT_EQ(end.reason_of_down->code, Errc::kUnavailable);
    EXPECT_NE(end.reason_of_down->message.find(address), std::string::npos);
  }
}

TEST_F(ZmqLaneTest, LanesGoDownWithTheirListener) {
  auto end = capability();
  run_until(loop_, [&] { return gateways_.size() == 1; });

  listener_.reset();
  run_until(loop_, [&] { return gateways_[0]->downs == 1 && end->downs == 1; });

  Buffer nothing;
  Envelope app;
  app.kind = wire::Kind::App;
  EXPECT_EQ(gateways_[0]->link->send(app, nothing).error().code, Errc::kUnavailable);
}

TEST_F(ZmqLaneTest, ALaneMayOutliveTheTransportThatMadeIt) {
  std::unique_ptr<Lane> lane;
  {
    Transport other(loop_);
    lane = *other.connect(address_);
  }

  LinkEnd end(loop_, std::move(lane), Side::kCapability, Link::Options{}, echo);
  run_until(loop_, [&] { return end.link->ready(); });

  EXPECT_TRUE(ask(loop_, *end.link, std::string(100'000, 'x')));
}

TEST_F(ZmqLaneTest, ATcpPortInUseIsAnAnswer) {
  auto first = transport_.make_listener("tcp://127.0.0.1:0");
  ASSERT_TRUE((*first)->listen([](std::unique_ptr<Lane>) {}));
  auto second = transport_.make_listener((*first)->address());

  const auto listening = (*second)->listen([](std::unique_ptr<Lane>) {});

  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, Errc::kAlreadyExists);
}

TEST_F(ZmqLaneTest, AHostsNameIsLookedUp) {
  const auto listener = *transport_.make_listener("tcp://127.0.0.1:0");
  std::vector<std::unique_ptr<LinkEnd>> gateways;
  ASSERT_TRUE(listener->listen([&](std::unique_ptr<Lane> lane) {
    gateways.push_back(std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, Link::Options{}, echo));
  }));
  const std::string bound = listener->address();

  LinkEnd end(loop_, *transport_.connect("tcp://localhost" + bound.substr(bound.rfind(':'))), Side::kCapability,
              Link::Options{}, echo);
  run_until(loop_, [&] { return end.link->ready(); });

  EXPECT_TRUE(ask(loop_, *end.link, "by name"));
}

TEST(TransportTest, NonsenseIsAClearError) {
  const SystemClock clock;
  EventLoop loop(clock);
  Transport transport(loop);

  const auto nonsense = transport.make_listener("http://x");
  const auto nobody = transport.connect("inproc://nobody");

  EXPECT_EQ(nonsense.error().code, Errc::kInvalidArgument);
  EXPECT_EQ(nobody.error().code, Errc::kUnavailable);
}

}  // namespace
}  // namespace caisson
