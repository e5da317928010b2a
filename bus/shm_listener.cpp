#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "bus/log.hpp"
#include "bus/shm_connection.hpp"
#include "bus/shm_lane.hpp"
#include "bus/socket_file.hpp"

namespace caisson {

namespace shm {

namespace {

/// Far above what one capability needs, and a bound on what its directory can make this process do.
constexpr std::size_t kMaxPeers = 256;
constexpr std::size_t kMaxWaiting = 16;
constexpr int kHellosPerSecond = 100;
/// A peer that connects hands over at once.
constexpr auto kHandOverTime = std::chrono::seconds(2);
constexpr std::size_t kMappedLimit = std::size_t{512} * 1024 * 1024;

class ShmListener final : public LaneListener {
 public:
  ShmListener(EventLoop& loop, std::string path, Spin spin)
      : loop_(loop),
        path_(std::move(path)),
        spin_(spin),
        watch_(loop, [this](std::uint32_t) { accept_all(); }),
        pause_(loop, [this] { accept_all(); }) {
    shared_->budget->limit = kMappedLimit;
  }

  ~ShmListener() override { *alive_ = false; }

  Result<void> listen(Accept accept) override {
    if (accept_) return Error{Errc::kFailedPrecondition, "already listening on " + address()};
    ASSIGN(SocketFile file, SocketFile::listen(path_, SOCK_SEQPACKET));
    fd_ = FileDescriptor(file.take_listening_fd());
    TRY(watch_.start(fd_.get(), EPOLLIN));
    file_ = std::move(file);
    accept_ = std::move(accept);
    return ok();
  }

  [[nodiscard]] std::string address() const override { return accept_ ? "shm://" + path_ : std::string(); }

  [[nodiscard]] LaneCounters counters() const override {
    LaneCounters sum = shared_->gone;
    for (const Connection* const lane : shared_->lanes) {
      const LaneCounters& one = lane->counters();
      sum.frames_in += one.frames_in;
      sum.frames_out += one.frames_out;
      sum.bytes_in += one.bytes_in;
      sum.bytes_out += one.bytes_out;
      sum.refused += one.refused;
      sum.full += one.full;
      sum.rings += one.rings;
      sum.wakes += one.wakes;
      sum.lent += one.lent;
      sum.own_bytes += one.own_bytes;
    }
    sum.mapped_bytes = shared_->budget->used;
    return sum;
  }

 private:
  /// Connected, and has not handed over yet.
  struct Waiting {
    Waiting(EventLoop& loop, FileDescriptor fd, std::function<void()> readable, std::function<void()> late)
        : socket(std::move(fd)),
          watch(loop, [told = std::move(readable)](std::uint32_t) { told(); }),
          deadline(loop, std::move(late)) {}
    ControlSocket socket;
    FdWatch watch;
    Timer deadline;
  };
  using Place = std::list<std::shared_ptr<Waiting>>::iterator;

  /// What may not be accepted now waits in the kernel's queue, which is bounded too.
  void accept_all() {
    while (waiting_.size() < kMaxWaiting) {
      if (loop_.now() - second_began_ >= std::chrono::seconds(1)) {
        second_began_ = loop_.now();
        hellos_ = 0;
      }
      if (hellos_ >= kHellosPerSecond) return pause_.start_after(second_began_ + std::chrono::seconds(1) - loop_.now());
      FileDescriptor fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.valid()) {
        // Out of descriptors: it may be better in a while. Else there is nobody.
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) pause_.start_after(std::chrono::milliseconds(100));
        if (errno != EINTR && errno != ECONNABORTED) return;
        continue;
      }
      ++hellos_;
      if (shared_->lanes.size() + waiting_.size() >= kMaxPeers) {
        refuse({Errc::kResourceExhausted, "too many peers"});
        continue;
      }
      wait_for_hand_over(std::move(fd));
    }
  }

  void wait_for_hand_over(FileDescriptor fd) {
    const Place place = waiting_.insert(waiting_.end(), nullptr);
    *place = std::make_shared<Waiting>(
        loop_, std::move(fd), [this, place] { readable(place); },
        [this, place] {
          give_up(place, {Errc::kDeadlineExceeded, "a peer connected and said nothing"});
        });
    Waiting& peer = **place;
    peer.deadline.start_after(kHandOverTime);
    if (auto watched = peer.watch.start(peer.socket.fd(), EPOLLIN | EPOLLRDHUP); !watched) {
      give_up(place, std::move(watched).error());
    }
  }

  void readable(Place place) {
    const std::shared_ptr<Waiting> peer = *place;  // its watch is what calls this
    using What = ControlSocket::Received::What;
    auto message = peer->socket.receive();
    if (message.what == What::kNothing) return;
    if (message.what == What::kEnd) return give_up(place, {Errc::kUnavailable, "a peer left before it handed over"});
    auto theirs = take_hand_over(std::move(message));
    if (!theirs) return give_up(place, std::move(theirs).error());
    peer->watch.stop();
    peer->deadline.cancel();
    auto lane = Connection::accept(loop_, std::move(peer->socket), *std::move(theirs), shared_, spin_);
    if (!lane) return give_up(place, std::move(lane).error());
    forget(place);
    accept_(*std::move(lane));
  }

  void give_up(Place place, Error why) {
    const std::shared_ptr<Waiting> peer = *place;
    refuse(std::move(why));
    forget(place);
  }

  void refuse(Error why) {
    ++shared_->gone.refused;
    refusals_.log(LogLevel::kWarning, "shm://" + path_ + ": refused a peer: " + why.message);
  }

  /// Makes room for the next, which may wait already.
  void forget(Place place) {
    waiting_.erase(place);
    loop_.post([this, alive = alive_] {
      if (*alive) accept_all();
    });
  }

  EventLoop& loop_;
  std::string path_;
  Spin spin_;
  Accept accept_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::list<std::shared_ptr<Waiting>> waiting_;
  int hellos_ = 0;
  Nanos second_began_{};
  LogLimit refusals_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<SocketFile> file_;
  FileDescriptor fd_;
  FdWatch watch_;
  Timer pause_;
};

}  // namespace

}  // namespace shm

std::unique_ptr<LaneListener> make_shm_listener(EventLoop& loop, std::string path, Spin spin) {
  return std::make_unique<shm::ShmListener>(loop, std::move(path), spin);
}

}  // namespace caisson
