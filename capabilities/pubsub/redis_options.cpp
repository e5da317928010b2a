#include "capabilities/pubsub/redis_options.hpp"

#include <algorithm>

#include "capabilities/pubsub/option_reading.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::int64_t kMostHandlers = 1000;
constexpr std::int64_t kDeepestQueue = 10'000;
/// A connection that died without a word is noticed after this and the read timeout.
constexpr Nanos kLongestBlock = std::chrono::seconds(3);
constexpr Nanos kShortestBlock = std::chrono::milliseconds(100);

}  // namespace

Nanos RedisBrokerOptions::block() const { return std::clamp(server.read_timeout, kShortestBlock, kLongestBlock); }

Result<RedisBrokerOptions> RedisBrokerOptions::parse(const sdk::ComponentSpec& spec) {
  const sdk::Metadata& metadata = spec.metadata;
  RedisBrokerOptions options;
  options.component = spec.name;
  ASSIGN(options.server, redis::Settings::parse(metadata));
  ASSIGN(options.redeliver_interval, read_span(metadata, "redeliverInterval", options.redeliver_interval));
  ASSIGN(options.processing_timeout, read_span(metadata, "processingTimeout", options.processing_timeout));
  ASSIGN(const std::int64_t depth, read_count(metadata, "queueDepth", 100, 1));
  ASSIGN(const std::int64_t concurrency, read_count(metadata, "concurrency", 10, 1));
  options.queue_depth = static_cast<std::size_t>(std::min(depth, kDeepestQueue));
  options.concurrency = static_cast<std::size_t>(std::min(concurrency, kMostHandlers));
  ASSIGN(options.max_length, read_count(metadata, "maxLenApprox", 0, 0));
  ASSIGN(options.stream_ttl, read_span(metadata, "streamTTL", Nanos::zero()));
  ASSIGN(options.acknowledge_on_error, metadata.get_bool("caisson.ackOnError", false));
  return options;
}

}  // namespace caisson::pubsub
