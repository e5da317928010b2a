#include "bus/zmq_lane.hpp"

#include <cerrno>
#include <optional>
#include <utility>

#include "bus/host_lookup.hpp"
#include "bus/task_scope.hpp"
#include "bus/zmq_socket.hpp"

namespace caisson {

namespace {

using zmq::Message;
using zmq::Monitor;
using zmq::Received;
using zmq::Socket;

/// A resolver that has not answered by then is asked again by the next lane.
constexpr auto kLookupTime = std::chrono::seconds(8);

/// A capability's end: one DEALER socket with one connection.
class DealerLane final : public Lane {
 public:
  static Result<std::unique_ptr<Lane>> open(EventLoop& loop, const std::shared_ptr<ZmqContext::State>& context,
                                            const Address& address) {
    std::unique_ptr<DealerLane> lane(new DealerLane(loop, address.text()));
    TRY(lane->connect(context, address));
    return std::unique_ptr<Lane>(std::move(lane));
  }

  ~DealerLane() override { *alive_ = false; }

  void start(Receiver& receiver) override {
    receiver_ = &receiver;
    if (down_) tell_down();
    socket_->check_soon();
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
    if (const int failed = socket_->send(head, true); failed == EAGAIN) {
      ++counters_.full;
      refused_ = true;
      return Error{Errc::kResourceExhausted, "the lane is full"};
    } else if (failed != 0) {
      return go_down(zmq::error_of(failed, "cannot send to " + address_));
    }
    // libzmq took the first part, so it takes the second, or the connection broke in between.
    Message body;
    Message::hand_over_into(body, payload, socket_->returned());
    if (const int failed = socket_->send(body, false); failed != 0) {
      return go_down({Errc::kUnavailable, "the connection to " + address_ + " broke"});
    }
    ++counters_.frames_out;
    counters_.bytes_out += size;
    return ok();
  }

  [[nodiscard]] const LaneCounters& counters() const override { return counters_; }

 private:
  DealerLane(EventLoop& loop, std::string address) : loop_(loop), address_(std::move(address)), scope_(loop) {}

  Result<void> connect(const std::shared_ptr<ZmqContext::State>& context, const Address& address) {
    ASSIGN(socket_, Socket::open(loop_, context, ZMQ_DEALER, [this] { activity(); }));
    TRY(socket_->set_limits());
    if (address.rest.find('[') != std::string::npos) TRY(socket_->set(ZMQ_IPV6, 1));
    constexpr int kEvents = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                            ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    ASSIGN(monitor_, Monitor::open(loop_, context, *socket_, kEvents, [this](int event) { told(event); }));
    const std::size_t colon = address.rest.rfind(':');
    const std::string host = address.rest.substr(0, colon);
    if (address.scheme != Address::Scheme::kTcp || !is_host_name(host)) return socket_->connect(address_);
    scope_.spawn(look_up_and_connect(host, address.rest.substr(colon)));
    return ok();
  }

  /// Not left to libzmq: that tells nobody when a name is not known, and never looks again.
  Task<void> look_up_and_connect(std::string host, std::string port) {
    auto lookup = look_up_host(loop_, host, loop_.deadline_in(kLookupTime));
    const auto addresses = co_await std::move(lookup);
    if (!addresses) {
      ended_ = Error{Errc::kUnavailable, "cannot connect to " + address_ + ": " + addresses.error().message};
      go_down(*ended_);
      co_return;
    }
    const std::string& first = addresses->front();
    const bool is_v6 = first.find(':') != std::string::npos;
    Result<void> connected;
    if (is_v6) connected = socket_->set(ZMQ_IPV6, 1);
    if (connected) connected = socket_->connect("tcp://" + (is_v6 ? "[" + first + "]" : first) + port);
    if (!connected) go_down(connected.error());
  }

  void told(int event) {
    if (ended_) return;
    ended_ = Error{Errc::kUnavailable, event == ZMQ_EVENT_CLOSED         ? "cannot connect to " + address_
                                       : event == ZMQ_EVENT_DISCONNECTED ? "the connection to " + address_ + " broke"
                                                                         : address_ + " does not speak ZeroMQ"};
    // What arrived before is delivered first.
    if (receiver_ == nullptr)
      go_down(*ended_);
    else
      socket_->check_soon();
  }

  void activity() {
    if (receiver_ == nullptr || down_) return;
    const std::shared_ptr<bool> alive = alive_;
    for (int i = 0; i < zmq::kBatch; ++i) {
      if (!receive_one()) break;
      if (!*alive || down_) return;
    }
    const int events = socket_->events();
    if ((events & ZMQ_POLLIN) != 0) {
      socket_->check_soon();
    } else if (ended_) {
      go_down(*ended_);
      return;
    }
    if ((events & ZMQ_POLLOUT) != 0 && std::exchange(refused_, false)) receiver_->on_writable();
  }

  bool receive_one() {
    Received received;
    const int failed = receive_frame(*socket_, received);
    if (failed == EAGAIN) return false;
    if (failed != 0) {
      go_down(zmq::error_of(failed, "cannot receive from " + address_));
      return false;
    }
    if (is_reset(received)) {
      go_down({Errc::kUnavailable, address_ + " ended the lane"});
      return false;
    }
    const std::size_t size = size_of(received);
    Result<Frame> frame = verify(received);
    if (!frame) {
      ++counters_.refused;
      go_down(frame.error());
      return false;
    }
    ++counters_.frames_in;
    counters_.bytes_in += size;
    receiver_->on_frame(*std::move(frame));
    return true;
  }

  /// Nothing more comes or goes. Returns the reason.
  Error go_down(Error reason) {
    if (!down_) {
      down_ = std::move(reason);
      if (down_->code == Errc::kResourceExhausted) down_->code = Errc::kUnavailable;
      if (receiver_ != nullptr) tell_down();
    }
    return *down_;
  }

  void tell_down() {
    loop_.post([this, alive = alive_] {
      if (*alive) receiver_->on_down(*down_);
    });
  }

  EventLoop& loop_;
  std::string address_;
  Receiver* receiver_ = nullptr;
  bool refused_ = false;
  std::optional<Error> ended_;  // the connection is over, what it brought is not
  std::optional<Error> down_;
  flatbuffers::FlatBufferBuilder builder_{512};
  LaneCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Socket> socket_;
  std::unique_ptr<Monitor> monitor_;  // after the socket it watches
  TaskScope scope_;                   // last: its task uses the rest
};

}  // namespace

Result<std::unique_ptr<Lane>> connect_zmq(EventLoop& loop, ZmqContext& context, const Address& address) {
  return DealerLane::open(loop, context.state(), address);
}

}  // namespace caisson
