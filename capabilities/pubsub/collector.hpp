#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "bus/task_scope.hpp"
#include "capabilities/pubsub/broker.hpp"
#include "config-cache/documents.hpp"

namespace caisson::pubsub {

/// Gathers the messages of one subscription into batches: a batch is handed over when it is full, or when its
/// first message has waited long enough. Brokers know nothing of it; each message is one handler that waits
/// for its batch. One thread.
class Collector {
 public:
  struct Limits {
    std::size_t messages = 100;
    Nanos wait = std::chrono::seconds(1);
    /// Of data. A batch travels in one frame, and every message may be as large as the largest request.
    std::size_t bytes = std::size_t{2} * 1024 * 1024;
  };
  /// More messages than this are no batch any more: they lie in memory and in one request.
  static constexpr std::size_t kMostMessages = 1000;
  static constexpr Nanos kLongestWait = std::chrono::minutes(1);

  /// What a subscription asks for, with Dapr's defaults and within our bounds.
  static Limits limits_of(const config::Subscription& subscription);

  /// Hands over a batch; a verdict for each message, in their order.
  using HandOver = std::function<Task<std::vector<Verdict>>(std::vector<Delivery>)>;

  Collector(EventLoop& loop, Limits limits, HandOver hand_over);
  ~Collector();

  /// Waits until the message's batch has been handed over.
  Task<Verdict> take(Delivery delivery);
  /// From here on nothing waits for a batch to fill.
  void hurry();

 private:
  struct Waiting;
  void flush();
  Task<void> run(std::vector<std::shared_ptr<Waiting>> batch);

  EventLoop& loop_;
  Limits limits_;
  HandOver hand_over_;
  std::vector<std::shared_ptr<Waiting>> waiting_;
  std::size_t bytes_ = 0;
  Timer timer_;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::pubsub
