#include "bus/shm_connection.hpp"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace caisson::shm {

namespace {

/// One lane leaves the loop its turns.
constexpr int kBatchFrames = 64;
constexpr std::size_t kBatchBytes = std::size_t{256} * 1024;
constexpr int kControlBatch = 32;
/// For both: a full queue at the listener, and a listener that says nothing.
constexpr auto kConnectTime = std::chrono::seconds(5);
constexpr auto kConnectAgain = std::chrono::milliseconds(10);
/// Where nobody tells that there is room again.
constexpr auto kRetry = std::chrono::milliseconds(5);
/// Memory not used for so long is given back.
constexpr auto kIdle = std::chrono::seconds(2);
/// Of one gateway that a capability is connected to.
constexpr std::size_t kMappedLimit = std::size_t{128} * 1024 * 1024;

}  // namespace

Result<std::unique_ptr<Connection>> Connection::connect(EventLoop& loop, const std::string& path, Spin spin) {
  auto shared = std::make_shared<Shared>();
  shared->budget->limit = kMappedLimit;
  ASSIGN(MemoryFile base, make_shared_memory(kBaseSize));
  ASSIGN(OutgoingBell bell, OutgoingBell::make());
  std::unique_ptr<Connection> lane(new Connection(loop, std::move(shared), std::move(base), std::move(bell), spin));
  lane->path_ = path;
  lane->connect_until_ = loop.deadline_in(kConnectTime);
  lane->try_to_connect();
  return lane;
}

Result<std::unique_ptr<Connection>> Connection::accept(EventLoop& loop, ControlSocket socket, PeerEnd peer,
                                                       std::shared_ptr<Shared> shared, Spin spin) {
  if (shared->budget->used + peer.base.size() > shared->budget->limit) {
    return Error{Errc::kResourceExhausted, "all peers together have more memory than they may"};
  }
  ASSIGN(MemoryFile base, make_shared_memory(kBaseSize));
  ASSIGN(OutgoingBell bell, OutgoingBell::make());
  std::unique_ptr<Connection> lane(new Connection(loop, std::move(shared), std::move(base), std::move(bell), spin));
  TRY(lane->open(std::move(socket)));
  TRY(lane->attach(std::move(peer)));
  return lane;
}

Connection::Connection(EventLoop& loop, std::shared_ptr<Shared> shared, MemoryFile base, OutgoingBell bell, Spin spin)
    : loop_(loop),
      shared_(std::move(shared)),
      spin_(spin, usable_cpus()),
      outbox_(new Outbox(std::move(base), socket_)),
      sleeper_(outbox_->cursors().wake),
      peer_bell_(std::move(bell)),
      bell_(
          loop,
          [this] {
            ++counters_.wakes;
            return std::exchange(progress_, false) || inbox_->more() || room();
          },
          [this] {
            violation({Errc::kInvalidArgument, "the peer rings without end"});
          }),
      socket_watch_(loop, [this](std::uint32_t) { control_arrived(); }),
      connect_timer_(loop, [this] { try_to_connect(); }),
      retry_timer_(loop, [this] { try_again_ = true; }),
      idle_timer_(loop, [this] { idle(); }),
      hook_(loop.at_turn_end([this] { end_of_turn(); })) {
  shared_->lanes.push_back(this);
}

Connection::~Connection() {
  *alive_ = false;
  if (gone_ != nullptr) *gone_ = true;
  outbox_->show();  // what was published is delivered before the end
  loop_.remove_turn_end(hook_);
  std::erase(shared_->lanes, this);
  const LaneCounters& counted = counters();
  shared_->gone.frames_in += counted.frames_in;
  shared_->gone.frames_out += counted.frames_out;
  shared_->gone.bytes_in += counted.bytes_in;
  shared_->gone.bytes_out += counted.bytes_out;
  shared_->gone.refused += counted.refused;
  shared_->gone.full += counted.full;
  shared_->gone.rings += counted.rings;
  shared_->gone.wakes += counted.wakes;
}

// --- begin ---

/// Called again until the listener has handed over, or the time is up.
void Connection::try_to_connect() {
  if (down_ || attached_) return;
  const bool late = connect_until_.moment() <= loop_.clock().now();
  if (late) return go_down({Errc::kUnavailable, "shm://" + path_ + " does not answer"});
  if (socket_.open()) return connect_timer_.start(connect_until_);
  auto socket = ControlSocket::connect(path_);
  if (!socket && socket.error().code == Errc::kResourceExhausted) return connect_timer_.start_after(kConnectAgain);
  if (!socket) return go_down(std::move(socket).error());
  if (auto opened = open(*std::move(socket)); !opened) return go_down(std::move(opened).error());
  connect_timer_.start(connect_until_);
}

Result<void> Connection::open(ControlSocket socket) {
  socket_ = std::move(socket);
  TRY(hand_over());
  return socket_watch_.start(socket_.fd(), EPOLLIN | EPOLLRDHUP);
}

Result<void> Connection::hand_over() {
  HandOver message;
  if (::getrandom(&message.epoch, sizeof message.epoch, GRND_NONBLOCK) < 0) {
    message.epoch = static_cast<std::uint64_t>(loop_.clock().now().count());
  }
  TRY(socket_.send(message, outbox_->memory_fd(), peer_bell_.peer_end()));
  outbox_->forget_fd();
  return ok();
}

Result<void> Connection::attach(PeerEnd peer) {
  inbox_.reset(new Inbox(std::move(peer.base), outbox_->cursors(), outbox_->release_ring(), shared_->budget));
  outbox_->attach(inbox_->peer_base());
  ringer_.emplace(inbox_->peer().wake);
  TRY(bell_.watch(std::move(peer.bell)));
  attached_ = true;
  try_again_ = true;
  connect_timer_.cancel();
  return ok();
}

void Connection::start(Receiver& receiver) {
  receiver_ = &receiver;
  if (down_) return tell_down();
  loop_.add(*this);
}

// --- sending ---

Result<Buffer> Connection::loan(std::size_t size) {
  if (down_) return *down_;
  auto lent = outbox_->loan(size);
  if (!lent && lent.error().code == Errc::kDataLoss) violation(lent.error());
  return lent;
}

Result<void> Connection::publish(const Envelope& envelope, Buffer& payload) {
  if (down_) return *down_;
  if (ended_) return *ended_;
  if (payload.size() > kMaxPayload) return Error{Errc::kInvalidArgument, "payload is over the limit"};
  const auto bytes = encode(builder_, envelope);
  if (bytes.size() > kMaxEnvelope) return Error{Errc::kInvalidArgument, "envelope is over the limit"};
  const std::size_t size = bytes.size() + payload.size();
  if (auto sent = outbox_->publish(bytes, payload); !sent) {
    Error error = std::move(sent).error();
    if (error.code == Errc::kUnavailable) return error;  // the socket's end is told as such
    if (error.code != Errc::kResourceExhausted) {
      violation(std::move(error));
      return *down_;
    }
    ++counters_.full;
    refused_ = true;
    try_again_ = false;
    if (attached_) outbox_->cursors().wants_room.store(1, std::memory_order_relaxed);
    if (outbox_->refused_for_own_reasons()) retry_timer_.start_after(kRetry);
    return error;
  }
  ++counters_.frames_out;
  counters_.bytes_out += size;
  published_ = true;
  reply_due_ = true;
  if (!outbox_->idle() && !idle_timer_.started()) idle_timer_.start_after(kIdle);
  return ok();
}

/// One ring for all that the turn brought, and none for a peer that is awake.
void Connection::end_of_turn() {
  outbox_->show();
  if (!attached_ || down_) return;
  const bool published = std::exchange(published_, false);
  bool made_room = std::exchange(was_read_, false);
  made_room |= inbox_->gave_back();
  if (!published && !made_room) return;
  if (!published) {
    // One ring for much room, while enough is unread to be busy with until the peer is awake.
    if (inbox_->unread() > kRingSize / 2) {
      was_read_ = true;
      return;
    }
    // Read after the fence: so either this side sees that the peer wants room, or the peer sees the room.
    FullFence()();
    if (inbox_->peer().wants_room.load(std::memory_order_relaxed) == 0) return;
  }
  if (!ringer_->must_ring()) return;
  peer_bell_.ring();
  ++counters_.rings;
}

bool Connection::room() const { return refused_ && (try_again_ || (attached_ && outbox_->room_appeared())); }

void Connection::idle() {
  if (down_) return;
  if (attached_) {
    if (auto taken = outbox_->take_back(); !taken) return violation(std::move(taken).error());
    inbox_->trim();
  }
  outbox_->retire_idle();
  if (!outbox_->idle()) idle_timer_.start_after(kIdle);
}

// --- receiving ---

bool Connection::poll() {
  if (down_ || !attached_) return false;
  bool gone = false;
  gone_ = &gone;
  bool worked = harvest();
  if (gone) return true;
  if (!down_ && room()) {
    refused_ = false;
    try_again_ = false;
    progress_ = true;
    retry_timer_.cancel();
    outbox_->cursors().wants_room.store(0, std::memory_order_relaxed);
    worked = true;
    receiver_->on_writable();
    if (gone) return true;
  }
  gone_ = nullptr;
  return worked;
}

bool Connection::harvest() {
  if (!ended_ || !std::exchange(last_look_, true)) inbox_->look();
  const bool* const gone = gone_;
  std::optional<Frame> frame;
  int frames = 0;
  std::size_t bytes = 0;
  bool asked = false;
  while (frames < kBatchFrames && bytes < kBatchBytes) {
    const Inbox::What what = inbox_->next(frame);
    if (what == Inbox::What::kNothing) {
      if (ended_) go_down(*ended_);
      break;
    }
    if (what == Inbox::What::kNeedsSegment && !std::exchange(asked, true)) {
      while (!down_ && read_control()) {
      }
      if (down_) return true;
      continue;
    }
    if (what != Inbox::What::kFrame) {
      const Error unknown{Errc::kInvalidArgument, "the peer names memory that it has not announced"};
      violation(what == Inbox::What::kBad ? inbox_->complaint() : unknown);
      return true;
    }
    asked = false;
    ++frames;
    const std::size_t size = frame->payload().size() + inbox_->envelope_size();
    bytes += size;
    ++counters_.frames_in;
    counters_.bytes_in += size;
    reply_due_ = false;
    Frame out = *std::move(frame);
    frame.reset();
    receiver_->on_frame(std::move(out));
    if (*gone || down_) return true;
  }
  if (inbox_->tell_read()) was_read_ = true;
  if (frames == 0) return false;
  progress_ = true;
  if (waiting_since_ != SpinRule::Time{}) {
    spin_.waited(std::chrono::steady_clock::now() - std::exchange(waiting_since_, {}), std::exchange(slept_, false));
  }
  return true;
}

bool Connection::about_to_sleep() {
  if (down_ || !attached_) return false;
  if (spin_.enabled() && spin()) return true;
  outbox_->cursors().cpu.store(current_cpu(), std::memory_order_relaxed);
  sleeper_.announce();
  const bool stays_awake = inbox_->more() || room() || ended_.has_value();
  slept_ |= !stays_awake;
  return stays_awake;
}

void Connection::awake() { sleeper_.awake(); }

/// True when something came meanwhile.
bool Connection::spin() {
  if (!reply_due_) return false;
  const unsigned cpu = current_cpu();
  outbox_->cursors().cpu.store(cpu, std::memory_order_relaxed);
  const SpinRule::Time from = std::chrono::steady_clock::now();
  if (waiting_since_ == SpinRule::Time{}) waiting_since_ = from;
  const auto longest = spin_.allows(from, cpu, inbox_->peer().cpu.load(std::memory_order_relaxed));
  if (longest == SpinRule::Span::zero()) return false;
  SpinRule::Time now = from;
  bool found = false;
  while (!found && now - from < longest) {
    for (int i = 0; i < 16 && !found; ++i) {
      found = inbox_->more();
      if (!found) relax_cpu();
    }
    now = std::chrono::steady_clock::now();
  }
  spin_.spun(from, now, found);
  return found;
}

// --- the control socket ---

void Connection::control_arrived() {
  for (int i = 0; i < kControlBatch && !down_; ++i) {
    if (!read_control()) return;
  }
  if (down_) return;
  // Edge-triggered: nothing tells again of what is left.
  loop_.post([this, alive = alive_] {
    if (*alive && !down_) control_arrived();
  });
}

bool Connection::read_control() {
  using What = ControlSocket::Received::What;
  if (ended_) return false;
  auto message = socket_.receive();
  if (message.what == What::kNothing) return false;
  if (message.what == What::kEnd) {
    ended();
    return false;
  }
  if (!attached_) {
    auto peer = take_hand_over(std::move(message));
    Result<void> done = peer ? attach(*std::move(peer)) : Result<void>(std::move(peer).error());
    if (!done) violation(std::move(done).error());
    return !down_;
  }
  auto control = parse_control(message);
  Result<void> done =
      control ? inbox_->take(*control, std::move(message.fds[0])) : Result<void>(std::move(control).error());
  if (!done) violation(std::move(done).error());
  return !down_;
}

/// What the peer has published before is delivered first.
void Connection::ended() {
  ended_ = Error{Errc::kUnavailable, "the peer is gone"};
  socket_watch_.stop();
  if (!attached_) go_down(*ended_);
}

// --- end ---

void Connection::violation(Error reason) {
  if (!down_) ++counters_.refused;
  go_down(std::move(reason));
}

void Connection::go_down(Error reason) {
  if (down_) return;
  down_ = std::move(reason);
  outbox_->show();
  if (down_->code == Errc::kResourceExhausted) down_->code = Errc::kUnavailable;
  socket_watch_.stop();
  socket_.close();  // so the peer sees it
  bell_.stop();
  connect_timer_.cancel();
  retry_timer_.cancel();
  idle_timer_.cancel();
  unlink();
  if (receiver_ != nullptr) tell_down();
}

void Connection::tell_down() {
  loop_.post([this, alive = alive_] {
    if (*alive) receiver_->on_down(*down_);
  });
}

const LaneCounters& Connection::counters() const {
  counters_.lent = outbox_->lent_pieces();
  counters_.own_bytes = outbox_->own_bytes();
  counters_.mapped_bytes = inbox_ ? inbox_->mapped_bytes() : 0;
  return counters_;
}

}  // namespace caisson::shm

namespace caisson {

Result<std::unique_ptr<Lane>> connect_shm(EventLoop& loop, const std::string& path, Spin spin) {
  ASSIGN(auto lane, shm::Connection::connect(loop, path, spin));
  return std::unique_ptr<Lane>(std::move(lane));
}

}  // namespace caisson
