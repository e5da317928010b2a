#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/lane.hpp"
#include "bus/shm_bell.hpp"
#include "bus/shm_doorbell.hpp"
#include "bus/shm_inbox.hpp"
#include "bus/shm_outbox.hpp"
#include "bus/shm_socket.hpp"
#include "bus/shm_spin.hpp"

namespace caisson::shm {

class Connection;

/// What a listener and its lanes share; a connecting side has one of its own.
struct Shared {
  std::vector<const Connection*> lanes;
  /// Of lanes that are gone, and of peers that never had one.
  LaneCounters gone;
  std::shared_ptr<MappedBudget> budget = std::make_shared<MappedBudget>();
};

/// One end of a lane through shared memory, the same on both sides: it hands over its memory and its bell,
/// takes the peer's, then sends through the outbox and receives through the inbox.
class Connection final : public Lane, private PolledSource {
 public:
  /// Connects, now or soon; a failure that is not this process's is told by on_down().
  static Result<std::unique_ptr<Connection>> connect(EventLoop& loop, const std::string& path, Spin spin);
  /// The listener's end of a connection on which the peer has handed over.
  static Result<std::unique_ptr<Connection>> accept(EventLoop& loop, ControlSocket socket, PeerEnd peer,
                                                    std::shared_ptr<Shared> shared, Spin spin);
  ~Connection() override;

  void start(Receiver& receiver) override;
  Result<Buffer> loan(std::size_t size) override;
  Result<void> publish(const Envelope& envelope, Buffer& payload) override;
  [[nodiscard]] const LaneCounters& counters() const override;

 private:
  Connection(EventLoop& loop, std::shared_ptr<Shared> shared, MemoryFile base, OutgoingBell bell, Spin spin);
  Result<void> open(ControlSocket socket);
  Result<void> hand_over();
  void try_to_connect();
  Result<void> attach(PeerEnd peer);

  void control_arrived();
  /// False when the socket is empty for now.
  bool read_control();
  void ended();

  bool poll() override;
  bool about_to_sleep() override;
  void awake() override;
  bool harvest();
  [[nodiscard]] bool room() const;
  void end_of_turn();
  bool spin();
  void idle();

  void violation(Error reason);
  void go_down(Error reason);
  void tell_down();

  EventLoop& loop_;
  std::shared_ptr<Shared> shared_;
  std::string path_;  // of who connects
  Deadline connect_until_ = Deadline::never();
  Receiver* receiver_ = nullptr;
  std::optional<Error> down_;
  std::optional<Error> ended_;  // the connection is over, what it brought is not
  bool last_look_ = false;      // after the end: what the peer writes now does not count
  bool attached_ = false;
  bool refused_ = false;    // and who was refused waits for on_writable()
  bool try_again_ = false;  // there may be room that nobody tells of
  bool published_ = false;  // in this turn
  bool was_read_ = false;   // in this turn
  bool progress_ = false;   // since the peer rang last
  bool reply_due_ = false;  // something was sent since the last frame came
  bool* gone_ = nullptr;    // set when the lane dies inside a call of the receiver
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  flatbuffers::FlatBufferBuilder builder_{512};
  mutable LaneCounters counters_;
  SpinRule spin_;
  SpinRule::Time waiting_since_{};
  bool slept_ = false;  // since then
  ControlSocket socket_;
  Lender::Owner<Outbox> outbox_;
  Lender::Owner<Inbox> inbox_;
  Sleeper<> sleeper_;
  std::optional<Ringer<>> ringer_;
  OutgoingBell peer_bell_;
  IncomingBell bell_;
  FdWatch socket_watch_;
  Timer connect_timer_;
  Timer retry_timer_;
  Timer idle_timer_;
  std::uint64_t hook_;
};

}  // namespace caisson::shm
