#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "capabilities/pubsub/kafka_consumer.hpp"
#include "capabilities/pubsub/kafka_window.hpp"

namespace caisson::pubsub {

/// One consumer group in this process: a consumer for all topics that somebody here subscribes to under
/// the group's name. Hands messages to the subscribers, keeps those that failed until their next attempt,
/// and tells the consumer what is settled. How often a message was tried is known in this memory only:
/// Kafka counts no deliveries, so a member that takes over begins at one.
class KafkaGroup {
 public:
  struct Events {
    /// Something to be said about the group changed.
    std::function<void()> changed;
    /// The consumer was given up and is made anew.
    std::function<void()> recreated;
  };
  /// Done messages behind one that is not: more, and the partition waits for it.
  static constexpr std::size_t kWindowLimit = 10'000;
  /// A message that nobody could be asked to take comes again after this.
  static constexpr Nanos kGiveBackPause = std::chrono::seconds(1);
  /// How long a consumer without subscribers is kept for the next one.
  static constexpr Nanos kLinger = std::chrono::seconds(10);

  KafkaGroup(EventLoop& loop, KafkaThreads& threads, std::shared_ptr<const KafkaOptions> options, std::string name,
             Events events);
  ~KafkaGroup();

  /// The subscription must not outlive the group.
  std::unique_ptr<Subscription> subscribe(const std::string& topic, Handler handler);

  [[nodiscard]] const std::optional<std::string>& trouble() const { return trouble_; }

 private:
  class Member;
  struct Lane;
  struct Topic;

  void start_consumer();
  void give_up_consumer(const std::string& why);
  void topics_changed_soon();
  void topics_changed();
  void received(std::vector<KafkaRecord> records);
  void revoked(const std::vector<std::shared_ptr<KafkaPartition>>& partitions);
  void close_lane(std::shared_ptr<KafkaPartition> partition);

  void dispatch_soon(Topic& topic);
  void dispatch(Topic& topic);
  [[nodiscard]] Member* next_taker(Topic& topic) const;
  void settle(Lane& lane, std::int64_t offset, Verdict verdict, Nanos pause);
  void leave(Topic& topic, Member& member);
  [[nodiscard]] Nanos pause_after(Verdict verdict, std::uint32_t attempt) const;
  void set_timer();
  void due();
  Task<void> until_committed(Deadline deadline);

  EventLoop& loop_;
  KafkaThreads& threads_;
  const std::shared_ptr<const KafkaOptions> options_;
  const std::string name_;
  const Events events_;
  std::optional<std::string> trouble_;
  std::map<std::string, std::unique_ptr<Topic>> topics_;
  bool topics_changing_ = false;
  Nanos restart_pause_;
  LogLimit log_limit_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Timer retry_timer_;    // for the next message that is due again
  Timer restart_timer_;  // for a consumer that was given up
  Timer linger_timer_;   // for a consumer that nobody needs
  std::unique_ptr<KafkaConsumer> consumer_;
};

}  // namespace caisson::pubsub
