#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "bus/clock.hpp"
#include "capabilities/pubsub/operation.hpp"

namespace caisson::pubsub {

/// The messages of one partition that are in memory, by offset: those that wait, that a handler has,
/// and those that are done but have one before them that is not. Kafka keeps one position per
/// partition, so only an unbroken run of done ones from the front moves it.
class KafkaWindow {
 public:
  struct Entry {
    Message message;  // empty once it is done
    std::uint32_t attempt = 1;
    bool done = false;
  };

  /// False when it is known, or lies before what is done (fetched a second time).
  bool add(std::int64_t offset, Message message);

  /// The next message that may go to a handler, which then has it. In order: only the first that is
  /// not done, when no other is with a handler.
  std::optional<std::int64_t> take(Nanos now, bool in_order);
  [[nodiscard]] const Entry& at(std::int64_t offset) const { return entries_.at(offset); }

  void finish(std::int64_t offset);
  /// Not done: again at `due`, as attempt number `attempt`.
  void give_back(std::int64_t offset, Nanos due, std::uint32_t attempt);
  /// Forgets all that no handler has.
  void drop_waiting();

  /// Everything before this offset is done; nothing while none is.
  [[nodiscard]] std::optional<std::int64_t> settled_before() const;
  /// When take() has something to give although nothing else changes.
  [[nodiscard]] std::optional<Nanos> next_due() const;
  /// Entries, done ones included.
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::size_t running() const { return running_; }

 private:
  void advance();

  std::map<std::int64_t, Entry> entries_;
  std::set<std::int64_t> waiting_;
  std::multimap<Nanos, std::int64_t> later_;
  std::size_t running_ = 0;
  std::optional<std::int64_t> end_;  // after the last one added
  bool any_done_ = false;
};

}  // namespace caisson::pubsub
