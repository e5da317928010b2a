#include "bus/transport.hpp"

#include <utility>

#include "bus/inproc_lane.hpp"
#include "bus/shm_lane.hpp"

namespace caisson {

/// A name inside this process under which lanes are handed out.
class InprocListener final : public LaneListener {
 public:
  InprocListener(Transport& transport, Address address) : transport_(transport), address_(std::move(address)) {}
  ~InprocListener() override {
    *alive_ = false;
    if (accept_) transport_.inproc_.erase(address_.rest);
  }

  Result<void> listen(Accept accept) override {
    if (accept_) return Error{Errc::kFailedPrecondition, "already listening on " + address_.text()};
    if (!transport_.inproc_.try_emplace(address_.rest, this).second) {
      return Error{Errc::kAlreadyExists, "another listener has the name " + address_.text()};
    }
    accept_ = std::move(accept);
    return ok();
  }

  [[nodiscard]] std::string address() const override { return accept_ ? address_.text() : std::string(); }

  /// The other end; this one is accepted in a later turn, as between processes.
  std::unique_ptr<Lane> connect(EventLoop& loop) {
    auto [ours, theirs] = make_inproc_lanes(loop);
    auto kept = std::make_shared<std::unique_ptr<Lane>>(std::move(ours));
    loop.post([this, alive = alive_, kept] {
      if (*alive) accept_(std::move(*kept));
    });
    return std::move(theirs);
  }

 private:
  Transport& transport_;
  Address address_;
  Accept accept_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

ZmqContext& Transport::zmq() {
  if (!zmq_) zmq_.emplace(loop_);
  return *zmq_;
}

Result<std::unique_ptr<LaneListener>> Transport::make_listener(std::string_view text) {
  ASSIGN(Address address, parse_address(text));
  if (address.scheme == Address::Scheme::kShm) {
    return make_shm_listener(loop_, std::move(address.rest), spin_);
  }
  if (address.scheme == Address::Scheme::kInproc) {
    return std::unique_ptr<LaneListener>(std::make_unique<InprocListener>(*this, std::move(address)));
  }
  return make_zmq_listener(loop_, zmq(), std::move(address));
}

Result<std::unique_ptr<Lane>> Transport::connect(std::string_view text) {
  ASSIGN(const Address address, parse_address(text));
  if (address.scheme == Address::Scheme::kShm) return connect_shm(loop_, address.rest, spin_);
  if (address.scheme != Address::Scheme::kInproc) return connect_zmq(loop_, zmq(), address);
  const auto found = inproc_.find(address.rest);
  if (found == inproc_.end()) return Error{Errc::kUnavailable, "nobody listens on " + address.text()};
  return found->second->connect(loop_);
}

}  // namespace caisson
