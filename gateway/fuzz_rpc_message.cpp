// Any bytes as a body of gRPC, as a protobuf message and as a grpc-timeout: what is found lies inside, and
// limits hold.
#include <cstdlib>
#include <string>

#include "gateway/rpc_message.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson;
  using namespace caisson::gateway;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string nested = std::to_string(data[0] & 3) + "." + std::to_string(data[0] >> 2 & 3);
  for (const std::string_view found : {protobuf_string(bytes, data[0] & 15), protobuf_string_at(bytes, nested)}) {
    const bool is_inside = found.data() >= bytes.data() && found.data() + found.size() <= bytes.data() + bytes.size();
    if (!found.empty() && !is_inside) std::abort();
  }
  constexpr std::size_t kLimit = 4096;
  const auto message = take_rpc_message(std::string(bytes), (data[0] & 16) != 0 ? "gzip" : "", kLimit);
  if (message && message->size() > kLimit) std::abort();
  const auto timeout = parse_rpc_timeout(bytes);
  if (timeout && *timeout < Nanos::zero()) std::abort();
  for (const char c : encode_rpc_text(bytes)) {
    if (c < ' ' || c > '~') std::abort();
  }
  return 0;
}
