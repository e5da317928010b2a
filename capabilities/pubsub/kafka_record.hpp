#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <optional>
#include <string>

#include "bus/result.hpp"
#include "capabilities/pubsub/kafka_options.hpp"
#include "capabilities/pubsub/operation.hpp"

/// Messages as Kafka records, laid out as Dapr does: metadata are headers, `partitionKey` (or `__key`) is
/// also the key, `partitionNumber` the partition; the payload `null` is a tombstone. Metadata of a record
/// that was read are its headers with `__key`, `__topic`, `__partition`, `__offset` and `__timestamp`.
namespace caisson::pubsub {

struct KafkaKey {
  std::optional<std::string> key;
  std::int32_t partition = RD_KAFKA_PARTITION_UA;
};

/// kInvalidArgument names the metadata that is wrong.
Result<KafkaKey> key_of(const MessageMetadata& metadata);

using KafkaHeaders = std::unique_ptr<rd_kafka_headers_t, decltype(&rd_kafka_headers_destroy)>;
KafkaHeaders headers_of(const MessageMetadata& metadata, const KafkaOptions& options);

/// A copy of a record that was read.
Message message_of(const rd_kafka_message_t& record, const KafkaOptions& options);

/// As Go's url.QueryEscape writes it.
std::string query_escape(std::string_view text);

}  // namespace caisson::pubsub
