#include "capabilities/pubsub/kafka_window.hpp"

#include <utility>

namespace caisson::pubsub {

bool KafkaWindow::add(std::int64_t offset, Message message) {
  if (end_ && offset < *end_) return false;
  end_ = offset + 1;
  Entry& entry = entries_[offset];
  entry.message = std::move(message);
  waiting_.insert(offset);
  return true;
}

std::optional<std::int64_t> KafkaWindow::take(Nanos now, bool in_order) {
  while (!later_.empty() && later_.begin()->first <= now) {
    waiting_.insert(later_.begin()->second);
    later_.erase(later_.begin());
  }
  if (waiting_.empty()) return std::nullopt;
  const std::int64_t offset = *waiting_.begin();
  // The front of the entries is never a done one.
  if (in_order && (running_ > 0 || entries_.begin()->first != offset)) return std::nullopt;
  waiting_.erase(waiting_.begin());
  ++running_;
  return offset;
}

void KafkaWindow::finish(std::int64_t offset) {
  Entry& entry = entries_.at(offset);
  entry.done = true;
  entry.message = Message();
  --running_;
  advance();
}

void KafkaWindow::advance() {
  while (!entries_.empty() && entries_.begin()->second.done) {
    entries_.erase(entries_.begin());
    any_done_ = true;
  }
}

void KafkaWindow::give_back(std::int64_t offset, Nanos due, std::uint32_t attempt) {
  entries_.at(offset).attempt = attempt;
  later_.emplace(due, offset);
  --running_;
}

void KafkaWindow::drop_waiting() {
  // They stay as entries: what is done behind them must not count.
  waiting_.clear();
  later_.clear();
}

std::optional<std::int64_t> KafkaWindow::settled_before() const {
  if (!any_done_) return std::nullopt;
  return entries_.empty() ? end_ : entries_.begin()->first;
}

std::optional<Nanos> KafkaWindow::next_due() const {
  if (later_.empty()) return std::nullopt;
  return later_.begin()->first;
}

}  // namespace caisson::pubsub
