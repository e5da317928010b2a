#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "capabilities/pubsub/kafka_consumer.hpp"
#include "capabilities/pubsub/kafka_progress.hpp"

namespace caisson::pubsub {

/// The thread behind a KafkaConsumer. What is public is called on the loop's thread, except run().
class KafkaConsumer::Thread final : public KafkaClient {
 public:
  Thread(std::shared_ptr<LoopGate> gate, std::shared_ptr<const KafkaOptions> options, std::string group, Events events);
  ~Thread() override;

  void run();
  void stop();
  void set_topics(std::vector<std::string> topics);
  void wake();
  void commit_now(std::function<void()> done);

 private:
  using Moment = std::chrono::steady_clock::time_point;
  using PartitionList =
      std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)>;

  /// What the thread alone knows of a partition.
  struct Assigned {
    std::shared_ptr<KafkaPartition> shared;
    std::int64_t committed = -1;  // sent to the broker
    std::int64_t expected = -1;   // the next that would come; negative: not known yet
  };
  using Key = std::pair<std::string, std::int32_t>;

  Result<void> make();
  void turn();
  void apply_topics();
  int poll_timeout() const;
  void take(const rd_kafka_message_t& record);
  void hand_over();
  void note_problem(const rd_kafka_message_t& problem);
  void pause_and_resume();
  void supervise();
  void look_at_next_partition();
  void look_for_missing_topics();
  void fail(std::string reason);

  // --- rebalancing, in kafka_rebalance.cpp ---
  static void on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* list,
                           void* self);
  static void on_commit(rd_kafka_t* handle, rd_kafka_resp_err_t problem, rd_kafka_topic_partition_list_t* list,
                        void* self);
  void assign(rd_kafka_topic_partition_list_t* list);
  bool set_start(rd_kafka_topic_partition_list_t* list);
  void revoke(rd_kafka_topic_partition_list_t* list);
  void check(rd_kafka_error_t* problem);
  void check(rd_kafka_resp_err_t problem);
  bool commit_the_last(const rd_kafka_topic_partition_list_t* list,
                       const std::vector<std::shared_ptr<KafkaPartition>>& going);
  bool resume_where_we_were(rd_kafka_topic_partition_t& given);
  void wait_until_quiet(const std::vector<std::shared_ptr<KafkaPartition>>& partitions);
  [[nodiscard]] PartitionList collect_commits(const rd_kafka_topic_partition_list_t* of);
  void commit_soon();
  /// Waits for the broker's answer, for a bounded time.
  bool commit_and_wait(const rd_kafka_topic_partition_list_t* list);

  const std::shared_ptr<const KafkaOptions> options_;
  const std::string group_;
  const Events events_;

  std::mutex mutex_;  // guards what the loop leaves for the thread
  std::condition_variable quieter_;
  rd_kafka_queue_t* queue_ = nullptr;
  std::vector<std::string> wanted_topics_;
  bool topics_changed_ = false;
  std::vector<std::function<void()>> commit_waiters_;
  std::atomic<bool> stopping_{false};

  std::vector<KafkaRecord> batch_;  // taken from the library, not with the loop yet
  std::size_t batch_bytes_ = 0;
  std::map<Key, Assigned> assigned_;
  std::map<Key, std::pair<std::int64_t, Moment>> uncommitted_;  // settled when the partition was lost
  std::vector<std::string> topics_;                             // subscribed to
  bool topic_missing_ = false;                                  // one of them did not exist when last asked
  std::chrono::milliseconds missing_pause_{};
  Moment next_search_{};
  Moment next_commit_{};
  Moment next_supervision_{};
  Moment waiting_since_ = Moment::max();  // for the group to say what is ours; max: it has
  Moment last_look_{};
  Key looked_at_;
  KafkaProgress progress_;
  bool failed_ = false;
};

}  // namespace caisson::pubsub
