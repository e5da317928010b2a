#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bus/socket_file.hpp"
#include "bus/zmq_lane.hpp"
#include "bus/zmq_socket.hpp"

namespace caisson {

namespace {

using zmq::Message;
using zmq::Monitor;
using zmq::Received;
using zmq::Socket;

/// Peers known at once, and frames kept for a lane that has not been started yet.
constexpr std::size_t kMaxPeers = 1024;
constexpr std::size_t kMaxEarlyFrames = 64;
/// A ROUTER does not say which connection broke, and says so a little before it knows itself: all
/// are asked, a few times.
constexpr std::chrono::milliseconds kProbes[] = {std::chrono::milliseconds(0),   std::chrono::milliseconds(1),
                                                 std::chrono::milliseconds(5),   std::chrono::milliseconds(20),
                                                 std::chrono::milliseconds(100), std::chrono::milliseconds(500)};
/// How long the frames of a broken connection may take to be read where the socket is never empty.
constexpr auto kDrainLimit = std::chrono::milliseconds(100);
/// A ROUTER's POLLOUT says nothing about one peer: who was refused tries again after a while.
constexpr auto kFirstRetry = std::chrono::milliseconds(1);
constexpr auto kSlowestRetry = std::chrono::milliseconds(16);

class RouterLane;

/// The ROUTER socket and all that is known of its peers; shared by the listener and its lanes.
class Router : public std::enable_shared_from_this<Router> {
 public:
  Router(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, Address address)
      : loop_(loop),
        context_(std::move(context)),
        address_(std::move(address)),
        probe_timer_(loop, [this] { probe(); }),
        drain_timer_(loop, [this] { end_gone(); }),
        retry_timer_(loop, [this] { retry(); }) {}

  Result<void> listen(LaneListener::Accept accept);
  /// All lanes go down; nothing is accepted any more.
  void close();
  [[nodiscard]] std::string address() const { return bound_; }
  [[nodiscard]] const LaneCounters& counters() const { return counters_; }

  /// Zero or an errno; EHOSTUNREACH marks the peer as gone.
  int send(const std::string& peer, Message& envelope, Message& payload);
  /// The two halves of it, for a payload that must stay where it is when there is no room.
  int send_head(const std::string& peer, Message& envelope);
  int send_body(Message& payload) { return socket_ == nullptr ? ENOTSOCK : socket_->send(payload, false); }
  void lane_died(const std::string& peer);
  void retry_soon();
  [[nodiscard]] EventLoop& loop() { return loop_; }
  [[nodiscard]] zmq::ReturnedMemory& returned() { return *context_->returned; }

 private:
  struct Peer {
    RouterLane* lane = nullptr;  // null: its frames are ignored
    bool gone = false;           // the connection is over, frames of it may still be unread
    bool told = false;           // that its lane is over
  };
  using Peers = std::unordered_map<std::string, Peer>;

  void activity();
  bool receive_one();
  void from_stranger(const std::string& id, Received received);
  void connection_broke();
  void probe();
  void mark_gone(Peer& peer);
  void end_gone();
  void retry();
  void tell_over(const std::string& id, Peer& peer);

  EventLoop& loop_;
  std::shared_ptr<ZmqContext::State> context_;
  Address address_;
  std::string bound_;
  LaneListener::Accept accept_;
  LaneCounters counters_;
  Peers peers_;
  bool some_gone_ = false;
  bool some_refused_ = false;
  std::size_t probe_round_ = 0;
  std::chrono::milliseconds retry_delay_ = kFirstRetry;
  Timer probe_timer_;
  Timer drain_timer_;
  Timer retry_timer_;
  std::optional<SocketFile> file_;
  std::unique_ptr<Socket> socket_;
  std::unique_ptr<Monitor> monitor_;  // after the socket it watches
};

/// The gateway's end: one routing id of the ROUTER.
class RouterLane final : public Lane {
 public:
  RouterLane(std::shared_ptr<Router> router, std::string peer) : router_(std::move(router)), peer_(std::move(peer)) {}
  ~RouterLane() override {
    *alive_ = false;
    router_->lane_died(peer_);
  }

  void start(Receiver& receiver) override {
    receiver_ = &receiver;
    router_->loop().post([this, alive = alive_] {
      if (*alive) deliver_early();
    });
  }

  Result<Buffer> loan(std::size_t size) override {
    if (size > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
    return Buffer(std::string(size, '\0'));
  }

  Result<void> publish(const Envelope& envelope, Buffer& payload) override {
    if (down_) return *down_;
    if (payload.size() > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
    const auto bytes = encode(builder_, envelope);
    if (bytes.size() > kMaxEnvelope) return Error{Errc::kInvalidArgument, "envelope is over the limit"};
    const std::size_t size = bytes.size() + payload.size();
    Message head;
    Message::copy_into(head, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (const int failed = router_->send_head(peer_, head); failed == EAGAIN) {
      ++counters_.full;
      refused = true;
      router_->retry_soon();
      return Error{Errc::kResourceExhausted, "the lane is full"};
    } else if (failed != 0) {
      // Frames of the peer may still be unread; on_down() follows them.
      return Error{Errc::kUnavailable, "the peer is gone"};
    }
    Message body;
    Message::hand_over_into(body, payload, router_->returned());
    if (const int failed = router_->send_body(body); failed != 0) {
      go_down(zmq::error_of(failed, "half a frame was sent"));
      return *down_;
    }
    ++counters_.frames_out;
    counters_.bytes_out += size;
    return ok();
  }

  [[nodiscard]] const LaneCounters& counters() const override { return counters_; }

  void keep_first(Frame frame, std::size_t size) {
    ++counters_.frames_in;
    counters_.bytes_in += size;
    early_.push_back(std::move(frame));
  }

  /// Returns false when the frame was refused.
  bool deliver(Received received) {
    if (down_) return true;
    const std::size_t size = size_of(received);
    Result<Frame> frame = verify(received);
    if (frame && receiver_ == nullptr && early_.size() >= kMaxEarlyFrames) {
      frame = Error{Errc::kResourceExhausted, "too many frames before the lane was started"};
    }
    if (!frame) {
      ++counters_.refused;
      go_down(frame.error());
      return false;
    }
    ++counters_.frames_in;
    counters_.bytes_in += size;
    if (receiver_ == nullptr || !early_.empty())
      early_.push_back(*std::move(frame));
    else
      receiver_->on_frame(*std::move(frame));
    return true;
  }

  void go_down(Error reason) {
    if (down_) return;
    down_ = std::move(reason);
    router_->loop().post([this, alive = alive_] {
      if (*alive && receiver_ != nullptr) deliver_early();
    });
  }

  void writable() {
    if (receiver_ != nullptr && !down_) receiver_->on_writable();
  }

  bool refused = false;

 private:
  /// What came before the start, then the end if it has come already.
  void deliver_early() {
    const std::shared_ptr<bool> alive = alive_;
    while (!early_.empty()) {
      Frame frame = std::move(early_.front());
      early_.pop_front();
      receiver_->on_frame(std::move(frame));
      if (!*alive) return;
    }
    if (down_ && !std::exchange(told_down_, true)) receiver_->on_down(*down_);
  }

  std::shared_ptr<Router> router_;
  std::string peer_;
  Receiver* receiver_ = nullptr;
  std::deque<Frame> early_;
  std::optional<Error> down_;
  bool told_down_ = false;
  flatbuffers::FlatBufferBuilder builder_{512};
  LaneCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// --- Router ---

Result<void> Router::listen(LaneListener::Accept accept) {
  if (socket_ != nullptr) return Error{Errc::kFailedPrecondition, "already listening on " + bound_};
  accept_ = std::move(accept);
  std::optional<SocketFile> file;
  if (address_.scheme == Address::Scheme::kIpc) {
    ASSIGN(file, SocketFile::listen(address_.rest));
  }
  ASSIGN(auto socket, Socket::open(loop_, context_, ZMQ_ROUTER, [this] {
           const std::shared_ptr<Router> self = shared_from_this();
           activity();
         }));
  TRY(socket->set_limits());
  TRY(socket->set(ZMQ_ROUTER_MANDATORY, 1));
  if (address_.rest.find('[') != std::string::npos) TRY(socket->set(ZMQ_IPV6, 1));
  ASSIGN(auto monitor,
         Monitor::open(loop_, context_, *socket, ZMQ_EVENT_DISCONNECTED, [this](int) { connection_broke(); }));
  if (file) TRY(socket->set(ZMQ_USE_FD, file->take_listening_fd()));
  TRY(socket->bind(address_.text()));
  bound_ = socket->last_endpoint();
  if (bound_.empty()) bound_ = address_.text();
  file_ = std::move(file);
  socket_ = std::move(socket);
  monitor_ = std::move(monitor);
  return ok();
}

void Router::close() {
  probe_timer_.cancel();
  drain_timer_.cancel();
  retry_timer_.cancel();
  for (auto& [id, peer] : peers_) {
    if (peer.lane != nullptr) peer.lane->go_down({Errc::kUnavailable, "the listener was closed"});
  }
  accept_ = nullptr;
  file_.reset();
  monitor_.reset();
  socket_.reset();
}

void Router::activity() {
  bool empty = false;
  for (int i = 0; i < zmq::kBatch && !empty; ++i) {
    if (socket_ == nullptr) return;
    empty = !receive_one();
  }
  if (socket_ == nullptr) return;
  if ((socket_->events() & ZMQ_POLLIN) != 0)
    socket_->check_soon();
  else if (empty && some_gone_)
    end_gone();
}

bool Router::receive_one() {
  Message id_part;
  if (socket_->receive(id_part) != 0) return false;
  const std::string id(id_part.view());
  Received received;
  if (!socket_->more() || receive_frame(*socket_, received) != 0) return true;
  counters_.bytes_in += size_of(received);
  ++counters_.frames_in;

  const auto found = peers_.find(id);
  if (found == peers_.end()) {
    from_stranger(id, std::move(received));
  } else if (found->second.lane == nullptr) {
    tell_over(id, found->second);
  } else if (!found->second.lane->deliver(std::move(received))) {
    ++counters_.refused;
  }
  return true;
}

/// The first frame of a connection makes its lane, unless it is none.
void Router::from_stranger(const std::string& id, Received received) {
  if (peers_.size() >= kMaxPeers) {
    ++counters_.refused;
    return;
  }
  Peer& peer = peers_[id];
  const std::size_t size = size_of(received);
  Result<Frame> first = verify(received);
  if (!first) {
    ++counters_.refused;
    tell_over(id, peer);
    return;
  }
  auto lane = std::make_unique<RouterLane>(shared_from_this(), id);
  peer.lane = lane.get();
  lane->keep_first(*std::move(first), size);
  if (accept_) accept_(std::move(lane));
}

int Router::send_head(const std::string& id, Message& envelope) {
  if (socket_ == nullptr) return EHOSTUNREACH;
  Message address;
  Message::copy_into(address, id);
  int failed = socket_->send(address, true);
  // With the peer's address taken there is room for the rest.
  if (failed == 0 && socket_->send(envelope, true) != 0) failed = EPIPE;
  if (failed == EHOSTUNREACH) {
    if (const auto found = peers_.find(id); found != peers_.end()) mark_gone(found->second);
  }
  return failed;
}

int Router::send(const std::string& id, Message& envelope, Message& payload) {
  const int failed = send_head(id, envelope);
  return failed != 0 ? failed : send_body(payload);
}

/// The owner of a lane has done with it; the peer should not go on talking to nobody.
void Router::lane_died(const std::string& id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  found->second.lane = nullptr;
  if (socket_ == nullptr) return;
  tell_over(id, found->second);
  socket_->check_soon();
}

void Router::tell_over(const std::string& id, Peer& peer) {
  if (peer.gone || std::exchange(peer.told, true)) return;
  Message address;
  Message::copy_into(address, id);
  const int failed = socket_->send(address, true);
  if (failed == EHOSTUNREACH) return mark_gone(peer);
  Message nothing;
  // Full: it is told when the next of its frames comes.
  if (failed != 0 || socket_->send(nothing, false) != 0) peer.told = false;
}

// --- who is gone ---

void Router::connection_broke() {
  probe_round_ = 0;
  if (!probe_timer_.started()) probe_timer_.start_after(kProbes[0]);
}

void Router::probe() {
  const std::shared_ptr<Router> self = shared_from_this();
  Envelope ping;
  ping.kind = wire::Kind::Ping;
  ping.version = kSchemaVersion;
  flatbuffers::FlatBufferBuilder builder;
  const auto bytes = encode(builder, ping);
  for (auto& [id, peer] : peers_) {
    if (peer.gone) continue;
    Message envelope;
    Message nothing;
    Message::copy_into(envelope, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    send(id, envelope, nothing);
  }
  if (++probe_round_ < std::size(kProbes)) probe_timer_.start_after(kProbes[probe_round_]);
}

void Router::mark_gone(Peer& peer) {
  if (std::exchange(peer.gone, true)) return;
  some_gone_ = true;
  if (!drain_timer_.started()) drain_timer_.start_after(kDrainLimit);
  socket_->check_soon();
}

/// Nothing of the gone peers is unread any more.
void Router::end_gone() {
  const std::shared_ptr<Router> self = shared_from_this();
  drain_timer_.cancel();
  some_gone_ = false;
  for (auto it = peers_.begin(); it != peers_.end();) {
    Peer& peer = it->second;
    if (peer.gone && peer.lane != nullptr) {
      peer.lane->go_down({Errc::kUnavailable, "the peer is gone"});
      some_gone_ = true;  // looked at again when its lane has been given up
    }
    const bool over = peer.gone && peer.lane == nullptr;
    it = over ? peers_.erase(it) : std::next(it);
  }
}

// --- who was refused ---

void Router::retry_soon() {
  some_refused_ = true;
  if (!retry_timer_.started()) retry_timer_.start_after(retry_delay_);
}

void Router::retry() {
  const std::shared_ptr<Router> self = shared_from_this();
  some_refused_ = false;
  std::vector<std::string> refused;
  for (auto& [id, peer] : peers_) {
    if (peer.lane != nullptr && std::exchange(peer.lane->refused, false)) refused.push_back(id);
  }
  // Longer and longer while nobody gets through.
  retry_delay_ = std::min(2 * retry_delay_, std::chrono::milliseconds(kSlowestRetry));
  for (const std::string& id : refused) {
    const auto found = peers_.find(id);
    if (found != peers_.end() && found->second.lane != nullptr) found->second.lane->writable();
  }
  if (!some_refused_) retry_delay_ = kFirstRetry;
}

class ZmqListener final : public LaneListener {
 public:
  ZmqListener(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, Address address)
      : router_(std::make_shared<Router>(loop, std::move(context), std::move(address))) {}
  ~ZmqListener() override { router_->close(); }

  Result<void> listen(Accept accept) override { return router_->listen(std::move(accept)); }
  [[nodiscard]] std::string address() const override { return router_->address(); }
  [[nodiscard]] LaneCounters counters() const override { return router_->counters(); }

 private:
  std::shared_ptr<Router> router_;
};

}  // namespace

std::unique_ptr<LaneListener> make_zmq_listener(EventLoop& loop, ZmqContext& context, Address address) {
  return std::make_unique<ZmqListener>(loop, context.state(), std::move(address));
}

}  // namespace caisson
