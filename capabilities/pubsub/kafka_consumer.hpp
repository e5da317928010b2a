#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/pubsub/kafka_client.hpp"
#include "capabilities/pubsub/kafka_options.hpp"
#include "capabilities/pubsub/operation.hpp"

namespace caisson::pubsub {

/// A partition that the group has given to this consumer; a new object whenever it is given anew. The
/// consumer's thread and the loop share it.
struct KafkaPartition {
  KafkaPartition(std::string of, std::int32_t which) : topic(std::move(of)), number(which) {}

  const std::string topic;
  const std::int32_t number;

  /// The thread adds what it hands over, the loop takes away what is done.
  std::atomic<std::int64_t> held{0};
  std::atomic<std::int64_t> held_bytes{0};
  /// Set by the loop: too much is done out of order, nothing more for now.
  std::atomic<bool> crowded{false};
  /// Set by the loop: everything before it is done and may be committed; negative: nothing yet.
  std::atomic<std::int64_t> settled_before{-1};
  /// Set by the loop, after `revoked`: no handler has a message of it any more.
  std::atomic<bool> quiet{false};
  /// Set by the thread: fetching is paused until the loop has caught up.
  std::atomic<bool> paused{false};
};

struct KafkaRecord {
  std::shared_ptr<KafkaPartition> partition;
  std::int64_t offset = 0;
  std::size_t bytes = 0;
  Message message;
};

/// One member of a consumer group, with a thread of its own that never stops polling, whatever the
/// handlers do: too much in memory pauses a partition. Commits what the loop says is settled, soon after
/// and before a partition is given away.
///
/// Used on the event loop's thread. When it is destroyed it leaves its group beside everything else;
/// what is settled by then is committed.
class KafkaConsumer {
 public:
  struct Events {  // called on the loop, until the consumer is destroyed
    std::function<void(std::vector<KafkaRecord>)> received;
    /// The group takes partitions away: no handler begins with a message of them any more. The thread
    /// waits for `quiet` a while and then gives them up.
    std::function<void(std::vector<std::shared_ptr<KafkaPartition>>)> revoked;
    std::function<void(std::optional<std::string>)> health_changed;
    /// It does not get on; only a new one can help.
    std::function<void(std::string)> failed;
  };

  KafkaConsumer(EventLoop& loop, KafkaThreads& threads, std::shared_ptr<const KafkaOptions> options, std::string group,
                Events events);
  ~KafkaConsumer();
  KafkaConsumer(const KafkaConsumer&) = delete;
  KafkaConsumer& operator=(const KafkaConsumer&) = delete;

  /// What the member subscribes to from now on; nothing: it leaves the group.
  void set_topics(std::vector<std::string> topics);
  /// The loop changed something about a partition.
  void wake();
  /// Commits what is settled; `done` is called on the loop when that is safe, or cannot be made so.
  void commit_now(std::function<void()> done);

 private:
  class Thread;
  std::shared_ptr<LoopGate> gate_;
  std::shared_ptr<Thread> thread_;
};

}  // namespace caisson::pubsub
