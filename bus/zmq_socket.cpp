#include "bus/zmq_socket.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

namespace caisson {

ZmqContext::ZmqContext(EventLoop& loop) : state_(std::make_shared<State>()) { state_->returned->attach(loop); }
ZmqContext::~ZmqContext() { state_->returned->detach(); }

}  // namespace caisson

namespace caisson::zmq {

Error error_of(int number, const std::string& what) {
  Errc code = Errc::kInternal;
  if (number == EMFILE || number == ENFILE || number == ENOMEM) code = Errc::kResourceExhausted;
  if (number == EADDRINUSE) code = Errc::kAlreadyExists;
  if (number == EACCES || number == EPERM) code = Errc::kPermissionDenied;
  if (number == EINVAL || number == ENODEV || number == EADDRNOTAVAIL) code = Errc::kInvalidArgument;
  return {code, what + ": " + zmq_strerror(number)};
}

// --- ReturnedMemory ---

bool ReturnedMemory::attach(EventLoop& loop) {
  {
    const std::lock_guard lock(mutex_);
    if (users_ > 0 && loop_ != &loop) return false;
    ++users_;
    loop_ = &loop;
  }
  return true;
}

void ReturnedMemory::detach() {
  const std::lock_guard lock(mutex_);
  if (--users_ == 0) loop_ = nullptr;
}

void ReturnedMemory::give(Memory* memory) {
  const std::lock_guard lock(mutex_);
  memory_.push_back(memory);
  if (loop_ == nullptr || std::exchange(posted_, true)) return;
  loop_->post_from_any_thread([self = shared_from_this()] { self->release_all(); });
}

void ReturnedMemory::release_all() {
  std::vector<Memory*> batch;
  {
    const std::lock_guard lock(mutex_);
    posted_ = false;
    batch.swap(memory_);
  }
  for (Memory* memory : batch) memory->release();
}

// --- Message ---

namespace {

/// What libzmq's free callback is given.
struct Sent {
  MemoryRef memory;
  ReturnedMemory& returned;

  static void on_io_thread(void*, void* hint) {
    const std::unique_ptr<Sent> sent(static_cast<Sent*>(hint));
    sent->returned.give(sent->memory.detach());
  }
};

}  // namespace

void Message::copy_into(Message& message, std::string_view bytes) {
  zmq_msg_close(&message.message_);
  if (zmq_msg_init_size(&message.message_, bytes.size()) != 0) std::abort();  // out of memory
  if (!bytes.empty()) std::memcpy(zmq_msg_data(&message.message_), bytes.data(), bytes.size());
}

void Message::hand_over_into(Message& message, Buffer& payload, ReturnedMemory& returned) {
  const std::string_view bytes = payload.view();
  if (bytes.size() < kCopyBelow || !payload.owned()) {
    copy_into(message, bytes);
    payload = Buffer();
    return;
  }
  auto sent = std::make_unique<Sent>(payload.take_owner(), returned);
  zmq_msg_close(&message.message_);
  if (zmq_msg_init_data(&message.message_, const_cast<char*>(bytes.data()), bytes.size(), &Sent::on_io_thread,
                        sent.get()) != 0) {
    std::abort();  // out of memory
  }
  sent.release();
}

// --- Socket ---

Socket::Socket(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, std::function<void()> activity)
    : loop_(loop),
      context_(std::move(context)),
      activity_(std::move(activity)),
      watch_(loop, [this](std::uint32_t) { check_soon(); }) {}

Result<std::unique_ptr<Socket>> Socket::open(EventLoop& loop, std::shared_ptr<ZmqContext::State> context, int type,
                                             std::function<void()> activity) {
  TRY(context->loaded);
  if (context->context == nullptr) return Error{Errc::kResourceExhausted, "no ZeroMQ context"};
  if (!context->returned->attach(loop)) {
    return Error{Errc::kFailedPrecondition, "a ZeroMQ context serves one event loop only"};
  }
  std::unique_ptr<Socket> self(new Socket(loop, std::move(context), std::move(activity)));
  self->socket_ = zmq_socket(self->context_->context.get(), type);
  if (self->socket_ == nullptr) return error_of(errno, "cannot open a ZeroMQ socket");
  TRY(self->set(ZMQ_LINGER, 0));
  int fd = -1;
  std::size_t size = sizeof fd;
  if (zmq_getsockopt(self->socket_, ZMQ_FD, &fd, &size) != 0) {
    return error_of(errno, "a ZeroMQ socket has no descriptor");
  }
  TRY(self->watch_.start(fd, EPOLLIN));
  self->check_soon();
  return self;
}

Socket::~Socket() {
  *alive_ = false;
  watch_.stop();
  if (socket_ != nullptr) zmq_close(socket_);
  context_->returned->detach();
}

Result<void> Socket::set(int option, int value) {
  if (zmq_setsockopt(socket_, option, &value, sizeof value) == 0) return ok();
  return error_of(errno, "ZeroMQ refuses option " + std::to_string(option));
}

/// No ZMTP heartbeats: with a full queue they make libzmq 4.3.4 abort (links have their own).
Result<void> Socket::set_limits() {
  TRY(set(ZMQ_SNDHWM, kHighWaterMark));
  TRY(set(ZMQ_RCVHWM, kHighWaterMark));
  TRY(set(ZMQ_IMMEDIATE, 1));
  TRY(set(ZMQ_RECONNECT_IVL, -1));
  TRY(set(ZMQ_CONNECT_TIMEOUT, 5000));
  TRY(set(ZMQ_HANDSHAKE_IVL, 5000));
  if (zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &kLongestPart, sizeof kLongestPart) == 0) return ok();
  return error_of(errno, "ZeroMQ refuses the limit of a message");
}

Result<void> Socket::bind(const std::string& endpoint) {
  if (zmq_bind(socket_, endpoint.c_str()) == 0) return ok();
  return error_of(errno, "cannot listen on " + endpoint);
}

Result<void> Socket::connect(const std::string& endpoint) {
  if (zmq_connect(socket_, endpoint.c_str()) == 0) return ok();
  return error_of(errno, "cannot connect to " + endpoint);
}

std::string Socket::last_endpoint() const {
  char text[512] = {};
  std::size_t size = sizeof text;
  if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text, &size) != 0) return {};
  return text;
}

int Socket::send(Message& message, bool more) {
  check_soon();
  const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
  while (zmq_msg_send(message.get(), socket_, flags) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int Socket::receive(Message& message) {
  while (zmq_msg_recv(message.get(), socket_, ZMQ_DONTWAIT) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool Socket::more() const {
  int more = 0;
  std::size_t size = sizeof more;
  return zmq_getsockopt(socket_, ZMQ_RCVMORE, &more, &size) == 0 && more != 0;
}

int Socket::events() {
  int events = 0;
  std::size_t size = sizeof events;
  while (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) != 0) {
    if (errno != EINTR) return 0;
  }
  return events;
}

void Socket::check_soon() {
  if (std::exchange(check_posted_, true)) return;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    check_posted_ = false;
    activity_();
  });
}

ReturnedMemory& Socket::returned() { return *context_->returned; }

// --- Monitor ---

Result<std::unique_ptr<Monitor>> Monitor::open(EventLoop& loop, std::shared_ptr<ZmqContext::State> context,
                                               Socket& watched, int events, Told told) {
  const std::string endpoint = "inproc://monitor-" + std::to_string(context->next_monitor++);
  if (zmq_socket_monitor(watched.handle(), endpoint.c_str(), events) != 0) {
    return error_of(errno, "cannot watch a ZeroMQ socket");
  }
  std::unique_ptr<Monitor> self(new Monitor(watched, std::move(told)));
  ASSIGN(self->pair_,
         Socket::open(loop, std::move(context), ZMQ_PAIR, [monitor = self.get()] { monitor->read_events(); }));
  TRY(self->pair_->connect(endpoint));
  return self;
}

Monitor::~Monitor() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }

void Monitor::read_events() {
  for (int i = 0; i < kBatch; ++i) {
    Message event;
    Message address;
    if (pair_->receive(event) != 0) break;
    if (pair_->more()) pair_->receive(address);
    std::uint16_t number = 0;
    if (event.view().size() < sizeof number) continue;
    std::memcpy(&number, event.view().data(), sizeof number);
    told_(number);
  }
  if ((pair_->events() & ZMQ_POLLIN) != 0) pair_->check_soon();
}

// --- frames ---

int receive_frame(Socket& socket, Received& received) {
  received.memory = std::make_unique<ReceivedMemory>();
  received.parts = 0;
  do {
    Message surplus;
    Message& part = received.parts == 0   ? received.memory->envelope
                    : received.parts == 1 ? received.memory->payload
                                          : surplus;
    const int failed = socket.receive(part);
    if (failed != 0) return failed;
    ++received.parts;
  } while (socket.more());
  return 0;
}

std::size_t size_of(Received& received) {
  return received.memory->envelope.view().size() + received.memory->payload.view().size();
}

bool is_reset(Received& received) { return received.parts == 1 && received.memory->envelope.view().empty(); }

Result<Frame> verify(Received& received) {
  if (received.parts != 2) {
    return Error{Errc::kInvalidArgument, "a frame of " + std::to_string(received.parts) + " parts instead of two"};
  }
  ReceivedMemory& memory = *received.memory;
  if (memory.payload.view().size() > kMaxPayload) {
    return Error{Errc::kInvalidArgument,
                 "payload of " + std::to_string(memory.payload.view().size()) + " bytes is over the limit"};
  }
  std::string_view bytes = memory.envelope.view();
  if (bytes.size() <= kMaxEnvelope && reinterpret_cast<std::uintptr_t>(bytes.data()) % kEnvelopeAlignment != 0) {
    memory.aligned.resize((bytes.size() + 7) / 8);
    std::memcpy(memory.aligned.data(), bytes.data(), bytes.size());
    bytes = {reinterpret_cast<const char*>(memory.aligned.data()), bytes.size()};
  }
  ASSIGN(const wire::Envelope* const envelope,
         verify_envelope({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
  const std::string_view payload = memory.payload.view();
  return Frame(MemoryRef(received.memory.release()), envelope, payload);
}

}  // namespace caisson::zmq
