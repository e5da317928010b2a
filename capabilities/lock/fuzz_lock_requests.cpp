// Any bytes as the body of a request, JSON or protobuf: refused, or a lock with readable fields.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "capabilities/lock/dapr_json.hpp"
#include "capabilities/lock/dapr_proto.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::lock;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto lock = parse_try_lock(bytes);
  const auto unlock = parse_unlock(bytes);
  // The messages differ in a member that one of them ignores.
  if (lock && unlock && (lock->resource != unlock->resource || lock->owner != unlock->owner)) std::abort();
  if (lock && !unlock) std::abort();
  (void)try_lock_of_message(bytes).has_value();
  (void)unlock_of_message(bytes).has_value();
  return 0;
}
