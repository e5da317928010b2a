#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bus/link.hpp"
#include "bus/manifest.hpp"
#include "gateway/facts.hpp"
#include "gateway/fair_queue.hpp"

namespace caisson::gateway {

/// A control frame on its way to an instance.
struct ControlFrame {
  wire::Kind kind = wire::Kind::App;
  std::string target;
  std::string app;
  std::uint16_t status = 0;
  Errc error = Errc::kOk;
  std::string message;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload;
  /// In place of `payload`: bytes that many receivers share.
  std::shared_ptr<const Buffer> shared = {};
};

/// One linked instance of a capability: its link, what it said about itself, and the door to it.
/// Shared by those who have a request there; its link outlives them. One thread.
class Instance : public std::enable_shared_from_this<Instance> {
 public:
  /// `process`: the socket directory it came through, CAPABILITY or CAPABILITY.COMPARTMENT.
  Instance(EventLoop& loop, std::shared_ptr<const Manifest> manifest, std::string process, bool linked_in)
      : loop_(loop),
        manifest_(std::move(manifest)),
        process_(std::move(process)),
        linked_in_(linked_in),
        queue_(loop, FairQueue::Limits{}),
        scope_(loop) {}

  [[nodiscard]] const std::string& capability() const { return manifest_->capability; }
  [[nodiscard]] const std::string& process() const { return process_; }
  [[nodiscard]] const Manifest& manifest() const { return *manifest_; }
  /// Runs inside this process (the runtime capability).
  [[nodiscard]] bool linked_in() const { return linked_in_; }
  [[nodiscard]] Link& link() { return *link_; }
  void set_link(std::unique_ptr<Link> link) { link_ = std::move(link); }

  /// Linked, and not let go: one that is about to leave serves until then.
  [[nodiscard]] bool ready() const { return link_ != nullptr && link_->ready() && !link_->down() && !released; }
  /// Where a request waits when there is no room.
  [[nodiscard]] FairQueue& queue() { return queue_; }
  /// A request may be sent now.
  [[nodiscard]] bool has_room() const {
    return in_flight_ < manifest_->max_in_flight && !lane_full_ && outbox_.empty() && ready();
  }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }

  /// A place in the instance's window; taken when a request is sent, given back by destruction.
  class Place {
   public:
    Place() = default;
    explicit Place(Instance& instance) : instance_(instance.shared_from_this()) { ++instance.in_flight_; }
    Place(Place&&) noexcept = default;
    Place& operator=(Place&& other) noexcept {
      if (this != &other) {
        release();
        instance_ = std::move(other.instance_);
      }
      return *this;
    }
    ~Place() { release(); }
    [[nodiscard]] Instance* get() const { return instance_.get(); }
    void release();

   private:
    std::shared_ptr<Instance> instance_;
  };

  /// Lets waiters in as far as there is room.
  void admit();
  /// The lane refused a request: nobody goes ahead until it has room again.
  void lane_is_full();

  /// Sends control frames in order, waiting for room; closes the link where too many pile up.
  void post(ControlFrame frame);
  [[nodiscard]] bool told() const { return outbox_.empty(); }

  /// What its last STATUS says of a component; in the order in which instances are asked for it.
  enum class Holds : std::uint8_t { kUp, kNotUp, kNothing };
  [[nodiscard]] Holds holds(std::string_view component) const {
    const auto found = components_.find(component);
    if (found == components_.end()) return Holds::kNothing;
    return found->second ? Holds::kUp : Holds::kNotUp;
  }
  [[nodiscard]] bool has_components() const { return !components_.empty(); }
  /// Takes the payload of a STATUS frame; kInvalidArgument leaves the last one.
  Result<void> set_status(std::string_view json);

  /// The link is down: sends all waiters away.
  void lost();

  /// What it said about itself.
  InstanceFacts facts;
  std::string incarnation;
  /// Of several, the one that holds what only one may hold.
  bool is_first = true;
  /// fnv1a() of its name.
  std::uint64_t name_hash = 0;
  /// It was told that it may go: no new requests.
  bool released = false;
  /// Lets it go, when nothing else does.
  std::optional<Timer> hold;

 private:
  Task<void> drain_outbox();
  Task<void> await_lane();

  EventLoop& loop_;
  std::shared_ptr<const Manifest> manifest_;
  std::string process_;
  bool linked_in_;
  bool lane_full_ = false;
  std::size_t in_flight_ = 0;
  std::deque<ControlFrame> outbox_;
  std::map<std::string, bool, std::less<>> components_;  // to whether it is up
  FairQueue queue_;
  std::unique_ptr<Link> link_;
  TaskScope scope_;
};

}  // namespace caisson::gateway
