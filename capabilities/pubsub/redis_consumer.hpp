#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/redis_held_messages.hpp"
#include "capabilities/pubsub/redis_options.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::pubsub {

/// Creates a consumer group that begins at the oldest message, unless it is there.
Task<Result<void>> create_group(redis::Client& client, std::string topic, std::string group, Deadline deadline);

/// Consumes one topic for one group, for all subscribers of this process: reads, hands out,
/// acknowledges, brings back what failed, and takes over from consumers that died.
///
/// A connection of its own reads (XREADGROUP blocks it, so that a topic whose handlers are slow never
/// holds up another); everything else goes over the component's shared connection. What it holds is
/// kept from other consumers by renewing the lease, i.e. the idle time, for as long as it lives.
class RedisConsumer {
 public:
  /// What the consumers of one component share. Outlives them.
  struct Shared {
    EventLoop& loop;
    const RedisBrokerOptions& options;
    /// Tells this process from the others in the group; see ConsumerInstance.
    const std::string& instance;
    redis::Client& commands;
    LogLimit& log_limit;
    /// Something that trouble() says changed.
    std::function<void()> changed;
    /// The last member has left: this consumer may be destroyed, in a later turn.
    std::function<void(RedisConsumer&)> deserted;
  };

  RedisConsumer(Shared& shared, std::string topic, std::string group);
  ~RedisConsumer();

  void start();
  /// `at_once`: handlers, where the component says fewer.
  std::unique_ptr<Subscription> add(Handler handler, std::size_t at_once);

  [[nodiscard]] bool has_members() const { return !members_.empty(); }
  [[nodiscard]] const std::string& topic() const { return topic_; }
  [[nodiscard]] const std::string& group() const { return group_; }
  /// Why it gets no messages at the moment.
  [[nodiscard]] std::optional<std::string> trouble() const;
  /// Commands that leave everything to the next consumer, at once; for when this one is destroyed.
  [[nodiscard]] std::vector<redis::Command> farewell();

 private:
  class Member;
  using Claim = HeldMessages::Claim;
  enum class Whose : std::uint8_t { kOwn, kAbandoned };

  // Each of these runs as a task from start() to the end.
  Task<void> read();
  Task<void> redeliver();
  Task<void> acknowledge();
  Task<void> renew_leases();

  Task<void> read_once();
  Task<void> recreate_group();
  /// Claims what is pending at the server and not held: under our own name, or abandoned by others.
  Task<Result<void>> take_pending(Whose whose);
  [[nodiscard]] std::vector<Claim> select(const std::vector<PendingEntry>& page, Whose whose) const;
  Task<Result<void>> claim(std::vector<Claim> claims);
  Task<Result<void>> settle_doubts();
  Task<Result<void>> renew();
  Task<void> remove_dead_consumers();
  Task<Result<redis::Reply>> ask(redis::Command command);
  Task<void> pause();

  void dispatch();
  void dispatch_soon();
  void settle(StreamId id, Verdict verdict);
  void leave(Member& member);
  Task<void> finish(Deadline deadline);
  [[nodiscard]] bool wants_new() const;
  [[nodiscard]] bool has_active_member() const;
  void note_trouble(std::string_view doing, const Error& error);
  void note_well();
  [[nodiscard]] redis::Command release_command(const Claim& claim) const;
  [[nodiscard]] std::string prefix() const;

  Shared& shared_;
  EventLoop& loop_;
  const RedisBrokerOptions& options_;
  std::string topic_;
  std::string group_;
  std::string name_;
  HeldMessages held_;
  std::vector<Member*> members_;
  std::size_t next_member_ = 0;
  bool dispatching_ = false;
  std::string trouble_;

  bool group_lost_ = false;
  Nanos own_pending_at_{};      // when what is pending under our name is looked through
  Nanos own_pending_again_at_;  // the same, once more
  Nanos take_over_at_{};        // when others' is
  Nanos remove_consumers_at_{};

  WaitQueue room_;      // a queue got shorter, a member came or went
  WaitQueue failed_;    // something waits for its moment
  WaitQueue verdicts_;  // something is to be acknowledged
  WaitQueue settled_;   // everything is

  redis::Client reader_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::pubsub
