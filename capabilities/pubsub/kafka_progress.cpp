#include "capabilities/pubsub/kafka_progress.hpp"

namespace caisson::pubsub {

bool KafkaProgress::is_stuck(const std::string& topic, std::int32_t partition, const Look& look) {
  Seen& seen = seen_[{topic, partition}];
  const bool behind = look.expected < look.end && !look.busy;
  if (!behind || seen.expected != look.expected) {
    seen = {look.expected, behind ? 1 : 0};
    return false;
  }
  return ++seen.looks > kLooks;
}

}  // namespace caisson::pubsub
