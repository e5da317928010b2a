#include "capabilities/pubsub/kafka_record.hpp"

#include <fmt/format.h>

#include <charconv>

#include "capabilities/pubsub/cloud_event.hpp"

namespace caisson::pubsub {

Result<KafkaKey> key_of(const MessageMetadata& metadata) {
  KafkaKey key;
  const std::string* given = find_metadata(metadata, "partitionKey");
  if (given == nullptr) given = find_metadata(metadata, "__key");
  if (given != nullptr) key.key = *given;
  if (const std::string* const number = find_metadata(metadata, "partitionNumber")) {
    const char* const end = number->data() + number->size();
    const auto parsed = std::from_chars(number->data(), end, key.partition);
    if (parsed.ec != std::errc() || parsed.ptr != end || key.partition < 0) {
      return Error{Errc::kInvalidArgument, "metadata 'partitionNumber' must be the number of a partition"};
    }
  }
  return key;
}

KafkaHeaders headers_of(const MessageMetadata& metadata, const KafkaOptions& options) {
  KafkaHeaders headers(rd_kafka_headers_new(metadata.size()), rd_kafka_headers_destroy);
  for (const auto& [name, value] : metadata) {
    if (options.excluded_headers && options.excluded_headers->found_in(name)) continue;
    rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return headers;
}

Message message_of(const rd_kafka_message_t& record, const KafkaOptions& options) {
  Message message;
  if (record.payload == nullptr) {
    message.data = "null";
  } else {
    message.data.assign(static_cast<const char*>(record.payload), record.len);
  }
  MessageMetadata& metadata = message.metadata;
  const auto text = [&options](const void* bytes, std::size_t size) {
    const std::string_view view(static_cast<const char*>(bytes), bytes == nullptr ? 0 : size);
    return options.escape_headers ? query_escape(view) : std::string(view);
  };
  if (record.key != nullptr) metadata["__key"] = text(record.key, record.key_len);
  metadata["__topic"] = rd_kafka_topic_name(record.rkt);
  metadata["__partition"] = std::to_string(record.partition);
  metadata["__offset"] = std::to_string(record.offset);
  metadata["__timestamp"] = std::to_string(rd_kafka_message_timestamp(&record, nullptr));

  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&record, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return message;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    if (options.excluded_headers && options.excluded_headers->found_in(name)) continue;
    metadata[name] = text(value, size);
  }
  return message;
}

std::string query_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace caisson::pubsub
