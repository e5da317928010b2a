// Bytes of an app, in two arbitrary cuts, through the parser of answers.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/http1_response_parser.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  using caisson::net::Http1ResponseParser;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t cut = bytes.empty() ? 0 : (data[0] * 256U + data[1]) % bytes.size();
  Http1ResponseParser parser((data[0] & 1) != 0);
  if (!parser.feed(bytes.substr(0, cut))) return 0;
  if (!parser.feed(bytes.substr(cut))) return 0;
  const bool ended = parser.end().has_value();
  const std::size_t body = parser.take_body().size();
  // What is said to be complete never holds more than came.
  if (ended && (!parser.done() || body > bytes.size())) __builtin_trap();
  if (parser.connection_reusable() && !parser.done()) __builtin_trap();
  return 0;
}
