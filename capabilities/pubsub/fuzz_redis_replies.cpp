// What a Redis server answers about streams: any tree of replies.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "capabilities/pubsub/redis_stream.hpp"

using namespace caisson;
using redis::Reply;
using redis::ReplyKind;

namespace {

/// Makes a tree of the bytes: a kind, then a count or a length, then what it holds.
Reply make(std::string_view& bytes, int depth) {
  const auto next = [&bytes]() -> std::uint8_t {
    if (bytes.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    return byte;
  };
  Reply reply;
  reply.kind = static_cast<ReplyKind>(next() % 6);
  const std::size_t count = next();
  if (reply.kind == ReplyKind::kArray && depth < 6) {
    for (std::size_t i = 0; i < count % 8; ++i) reply.items.push_back(make(bytes, depth + 1));
  } else if (reply.kind == ReplyKind::kInteger) {
    reply.integer = static_cast<std::int64_t>(count * 0x0101010101010101ULL);
  } else {
    reply.text = bytes.substr(0, count);
    bytes.remove_prefix(std::min(count, bytes.size()));
  }
  return reply;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(bytes), size);
  const Reply reply = make(rest, 0);
  if (const auto entries = pubsub::read_stream_reply(reply)) {
    for (const pubsub::StreamEntry& entry : *entries) {
      // Whatever it is, it can be published again, and its id be asked for.
      std::string encoded;
      pubsub::make_xadd("topic", entry.message, {}).encode(encoded);
      if (pubsub::StreamId::parse(entry.id.text()) != entry.id) std::abort();
    }
  }
  [[maybe_unused]] const auto claimed = pubsub::read_claim_reply(reply);
  [[maybe_unused]] const auto pending = pubsub::read_pending_reply(reply);
  return 0;
}
