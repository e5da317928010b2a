#include "capabilities/pubsub/collector.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace caisson::pubsub {

/// A message and the handler that waits for its verdict.
struct Collector::Waiting {
  Delivery delivery;
  std::optional<Verdict> verdict;
  WaitQueue settled;
};

Collector::Limits Collector::limits_of(const config::Subscription& subscription) {
  Limits limits;
  if (subscription.bulk_max_messages > 0) limits.messages = subscription.bulk_max_messages;
  if (subscription.bulk_max_await > Nanos::zero()) limits.wait = subscription.bulk_max_await;
  limits.messages = std::min(limits.messages, kMostMessages);
  limits.wait = std::min(limits.wait, kLongestWait);
  return limits;
}

Collector::Collector(EventLoop& loop, Limits limits, HandOver hand_over)
    : loop_(loop), limits_(limits), hand_over_(std::move(hand_over)), timer_(loop, [this] { flush(); }), scope_(loop) {}

Collector::~Collector() = default;

Task<Verdict> Collector::take(Delivery delivery) {
  const std::size_t size = delivery.message.data.size();
  if (!waiting_.empty() && bytes_ + size > limits_.bytes) flush();
  const auto one = std::make_shared<Waiting>();
  one->delivery = std::move(delivery);
  waiting_.push_back(one);
  bytes_ += size;
  if (waiting_.size() >= limits_.messages) {
    flush();
  } else if (waiting_.size() == 1) {
    timer_.start_after(limits_.wait);
  }
  while (!one->verdict) co_await one->settled.wait(loop_, Deadline::never());
  co_return *one->verdict;
}

void Collector::hurry() {
  limits_.wait = Nanos::zero();
  if (!waiting_.empty()) timer_.start_after(Nanos::zero());
}

void Collector::flush() {
  timer_.cancel();
  bytes_ = 0;
  std::vector<std::shared_ptr<Waiting>> batch = std::exchange(waiting_, {});
  // One whose handler is gone has been given back; nobody would hear its verdict.
  std::erase_if(batch, [](const auto& one) { return one.use_count() == 1; });
  if (!batch.empty()) scope_.spawn(run(std::move(batch)));
}

Task<void> Collector::run(std::vector<std::shared_ptr<Waiting>> batch) {
  std::vector<Delivery> deliveries;
  deliveries.reserve(batch.size());
  for (const auto& one : batch) deliveries.push_back(std::move(one->delivery));
  auto handing = hand_over_(std::move(deliveries));
  const std::vector<Verdict> verdicts = co_await std::move(handing);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i]->verdict = verdicts[i];
    batch[i]->settled.wake_all();
  }
}

}  // namespace caisson::pubsub
