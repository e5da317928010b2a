#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace caisson::pubsub {

/// Notices a consumer that has gone silent: messages lie in a partition, nothing is in hand, nothing is
/// fetched. The broker is asked now and then, because a client that is stuck does not know the end of its
/// partition either.
class KafkaProgress {
 public:
  /// Looks in a row that find a partition as it was, before it counts as stuck.
  static constexpr int kLooks = 2;

  struct Look {
    std::int64_t expected = 0;  // the offset that would come next
    std::int64_t end = 0;       // of the partition, as the broker says
    bool busy = false;          // messages in hand, or fetching is paused on purpose
  };

  /// One look at a partition; true when it is stuck.
  bool is_stuck(const std::string& topic, std::int32_t partition, const Look& look);
  void forget(const std::string& topic, std::int32_t partition) { seen_.erase({topic, partition}); }

 private:
  struct Seen {
    std::int64_t expected = -1;
    int looks = 0;
  };
  std::map<std::pair<std::string, std::int32_t>, Seen> seen_;
};

}  // namespace caisson::pubsub
