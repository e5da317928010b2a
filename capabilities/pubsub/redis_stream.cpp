#include "capabilities/pubsub/redis_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "bus/json_writer.hpp"
#include "sdk/json_reader.hpp"

namespace caisson::pubsub {

using redis::Reply;
using redis::ReplyKind;

namespace {

/// Bytes of XADD beside topic and data, for a message with few or no metadata.
constexpr std::size_t kAroundMessage = 192;

Error unexpected(std::string_view command) {
  return {Errc::kInternal, fmt::format("the server's answer to {} has an unknown shape", command)};
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Whatever else writes to the stream: a value that is no string is not a header's, and is left out.
MessageMetadata read_metadata(std::string json) {
  MessageMetadata metadata;
  sdk::JsonReader reader(std::move(json));
  if (reader.kind() != sdk::JsonReader::Kind::kObject) return metadata;
  [[maybe_unused]] const auto read = reader.read_object([&](const std::string& name) -> Result<void> {
    if (reader.kind() != sdk::JsonReader::Kind::kString) return reader.skip();
    ASSIGN(metadata[name], reader.read_string());
    return ok();
  });
  return metadata;
}

/// [id, [field, value, …]]
Result<StreamEntry> read_entry(Reply reply) {
  if (reply.kind != ReplyKind::kArray || reply.items.size() != 2 || !reply.items[0].is_text()) {
    return unexpected("XREADGROUP");
  }
  const auto id = StreamId::parse(reply.items[0].text);
  Reply& fields = reply.items[1];
  const bool pairs = fields.kind == ReplyKind::kArray && fields.items.size() % 2 == 0;
  if (!id || !pairs) return unexpected("XREADGROUP");

  StreamEntry entry;
  entry.id = *id;
  for (std::size_t i = 0; i < fields.items.size(); i += 2) {
    if (fields.items[i].text == "data") entry.message.data = std::move(fields.items[i + 1].text);
    if (fields.items[i].text == "metadata") {
      entry.message.metadata = read_metadata(std::move(fields.items[i + 1].text));
    }
  }
  return entry;
}

}  // namespace

std::optional<StreamId> StreamId::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto ms = parse_number(text.substr(0, dash));
  const auto sequence = parse_number(text.substr(dash + 1));
  if (!ms || !sequence) return std::nullopt;
  return StreamId{*ms, *sequence};
}

std::string StreamId::text() const { return fmt::format("{}-{}", ms, sequence); }

StreamId StreamId::next() const {
  if (sequence == std::numeric_limits<std::uint64_t>::max()) return {ms + 1, 0};
  return {ms, sequence + 1};
}

redis::Command make_xadd(std::string_view topic, const Message& message, StreamTrim trim) {
  redis::Command command{"XADD", topic};
  command.reserve(topic.size() + message.data.size() + kAroundMessage);
  if (trim.max_length > 0) {
    command.add("MAXLEN").add("~").add(trim.max_length);
  } else if (trim.min_ms > 0) {
    command.add("MINID").add("~").add(trim.min_ms);
  }
  JsonWriter metadata;
  metadata.begin_object();
  for (const auto& [name, value] : message.metadata) metadata.key(name).value(value);
  metadata.end_object();
  command.add("*").add("data").add(message.data).add("metadata").add(metadata.text());
  return command;
}

Result<std::vector<StreamEntry>> read_stream_reply(Reply reply) {
  std::vector<StreamEntry> entries;
  if (reply.is_nil()) return entries;
  // [[topic, [entry, …]]]
  const bool one = reply.kind == ReplyKind::kArray && reply.items.size() == 1;
  if (!one || reply.items[0].kind != ReplyKind::kArray || reply.items[0].items.size() != 2) {
    return unexpected("XREADGROUP");
  }
  Reply& list = reply.items[0].items[1];
  if (list.kind != ReplyKind::kArray) return unexpected("XREADGROUP");
  entries.reserve(list.items.size());
  for (Reply& item : list.items) {
    ASSIGN(StreamEntry entry, read_entry(std::move(item)));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<ClaimReply> read_claim_reply(Reply reply) {
  if (reply.kind != ReplyKind::kArray || reply.items.size() > 1) return unexpected("XCLAIM");
  ClaimReply claimed;
  if (reply.items.empty()) return claimed;
  claimed.deleted = reply.items[0].is_nil();
  if (claimed.deleted) return claimed;
  ASSIGN(claimed.entry, read_entry(std::move(reply.items[0])));
  return claimed;
}

Result<std::vector<PendingEntry>> read_pending_reply(Reply reply) {
  if (reply.kind != ReplyKind::kArray) return unexpected("XPENDING");
  std::vector<PendingEntry> entries;
  entries.reserve(reply.items.size());
  for (Reply& item : reply.items) {
    // [id, consumer, idle in ms, deliveries]
    const bool four = item.kind == ReplyKind::kArray && item.items.size() == 4;
    if (!four || !item.items[0].is_text() || !item.items[1].is_text()) return unexpected("XPENDING");
    const auto id = StreamId::parse(item.items[0].text);
    const bool numbers = item.items[2].kind == ReplyKind::kInteger && item.items[3].kind == ReplyKind::kInteger;
    if (!id || !numbers) return unexpected("XPENDING");
    constexpr std::int64_t kLongestIdle = std::numeric_limits<std::int64_t>::max() / 1'000'000;
    PendingEntry entry;
    entry.id = *id;
    entry.consumer = std::move(item.items[1].text);
    entry.idle = std::chrono::milliseconds(std::clamp<std::int64_t>(item.items[2].integer, 0, kLongestIdle));
    entry.deliveries = static_cast<std::uint32_t>(std::clamp<std::int64_t>(item.items[3].integer, 0, 1'000'000'000));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace caisson::pubsub
