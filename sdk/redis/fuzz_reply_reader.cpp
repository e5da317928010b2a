// Any bytes, in pieces whose size the first byte chooses: the reader never crashes, never gives more
// items than there were bytes for, and gives the same replies however the bytes are cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sdk/redis/reply_errors.hpp"
#include "sdk/redis/reply_reader.hpp"

namespace {

using caisson::redis::Reply;
using caisson::redis::ReplyReader;

void describe(const Reply& reply, std::string& to) {
  to += std::to_string(static_cast<int>(reply.kind)) + ":" + std::to_string(reply.integer) + ":" + reply.text + "(";
  for (const Reply& item : reply.items) describe(item, to);
  to += ")";
}

std::string replies_of(std::string_view bytes, std::size_t piece) {
  ReplyReader reader;
  std::string all;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    while (true) {
      auto reply = reader.next();
      if (!reply) return all;
      if (!*reply) break;
      (void)caisson::redis::refusal_of(**reply);
      describe(**reply, all);
    }
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] == 0 ? size : data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = replies_of(bytes, size);
  const std::string in_pieces = replies_of(bytes, piece);
  if (whole != in_pieces) std::abort();
  return 0;
}
