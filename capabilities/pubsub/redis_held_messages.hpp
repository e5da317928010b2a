#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "bus/clock.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "capabilities/pubsub/redis_stream.hpp"

namespace caisson::pubsub {

/// What one consumer holds of its group's messages: those pending under its name at the server that
/// this process knows of, and what becomes of each. Bookkeeping only, no I/O; the moments are the
/// caller's clock.
///
///   taken ─▶ queued ─▶ running ─▶ acknowledged ─▶ (gone, once the server knows)
///              ▲           └────▶ waiting ─▶ claiming ─┐
///              └─────────────────────────────────────┘
///
/// Nothing here has to survive the process: all of it is in the group's pending list at the server,
/// where the next process of that name, or another consumer, finds it.
class HeldMessages {
 public:
  /// Failed messages that are remembered with their moment. One more is forgotten: its lease runs out
  /// at the server, and it comes again by that.
  static constexpr std::size_t kWaitingLimit = 10'000;

  struct Taken {
    StreamId id;
    Message message;
    std::uint32_t attempt = 1;
  };
  /// A message to be claimed at the server, and the number of attempts it is claimed with.
  struct Claim {
    StreamId id;
    std::uint32_t attempt = 1;
    Nanos min_idle{};
  };

  /// A message that this group gets for the first time; not taken when it is held already (a server
  /// that lost its newest writes gives some again).
  void take_new(StreamEntry entry, Nanos now);
  /// One that was claimed; not taken when it is held and not waited for.
  void take_again(StreamEntry entry, std::uint32_t attempt, Nanos now);

  /// The next for a handler: new ones and claimed ones in turn, so that neither holds the other up.
  /// Nothing while the lease of the next has run out: another consumer may have it by now.
  std::optional<Taken> begin(Nanos now, Nanos lease);

  void acknowledge(StreamId id);
  /// Comes again at `due`; `counted`: as a further attempt.
  void fail(StreamId id, Nanos due, bool counted);

  /// Makes all that wait due.
  void hurry(Nanos now);
  /// Those that are due, to be claimed; each must be taken again, forgotten, or put back.
  std::vector<Claim> claim_due(Nanos now, std::size_t limit);
  void put_back(const std::vector<Claim>& claims, Nanos due);
  void forget(StreamId id) { erase(id); }

  /// Acknowledged ones that the server has not been told of; each must be settled or unsettled.
  std::vector<StreamId> take_acknowledged(std::size_t limit);
  void settled(const std::vector<StreamId>& ids);
  void unsettled(const std::vector<StreamId>& ids);

  /// Everything that is held, for the lease to be renewed.
  [[nodiscard]] std::vector<StreamId> ids() const;
  /// Held ones whose lease has run out; it may be another consumer's by now. Running ones are not
  /// among them: nothing can be done about those.
  [[nodiscard]] std::vector<StreamId> in_doubt(Nanos now, Nanos lease) const;
  void renewed(Nanos at);

  /// All that is held and not acknowledged, with the attempts that were made; begun ones do not count.
  [[nodiscard]] std::vector<Claim> leftovers() const;
  /// Forgets what no handler has begun; gives it.
  std::vector<Claim> take_unbegun();

  [[nodiscard]] bool holds(StreamId id) const { return held_.contains(id); }
  [[nodiscard]] bool empty() const { return held_.empty(); }
  [[nodiscard]] std::size_t new_count() const { return new_.size(); }
  [[nodiscard]] std::size_t again_count() const { return again_.size(); }
  [[nodiscard]] std::size_t unsettled_count() const { return unsettled_; }
  [[nodiscard]] std::vector<StreamId> unsettled_ids() const;
  /// When the next failed one comes again.
  [[nodiscard]] Nanos next_due() const { return due_.empty() ? Nanos::max() : due_.begin()->first; }

 private:
  enum class State : std::uint8_t { kQueued, kRunning, kAcknowledged, kWaiting, kClaiming };
  struct Held {
    State state = State::kQueued;
    bool counted = true;  // a claim makes it a further attempt
    std::uint32_t attempt = 1;
    Nanos leased_at{};
    Nanos due{};
  };
  using Queue = std::deque<std::pair<StreamId, Message>>;

  std::optional<Taken> begin_from(Queue& queue, Nanos now, Nanos lease);
  void wait_until(StreamId id, Held& held, Nanos due);
  void erase(StreamId id);

  std::map<StreamId, Held> held_;
  Queue new_;
  Queue again_;
  bool turn_of_new_ = false;
  std::set<std::pair<Nanos, StreamId>> due_;  // the waiting ones
  std::vector<StreamId> acknowledged_;        // not yet told
  std::size_t unsettled_ = 0;                 // told and not confirmed ones too
};

}  // namespace caisson::pubsub
