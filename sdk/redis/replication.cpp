#include "sdk/redis/replication.hpp"

#include <charconv>

namespace caisson::redis {

std::int64_t connected_replicas(std::string_view info) {
  constexpr std::string_view kName = "connected_slaves:";
  const std::size_t at = info.find(kName);
  std::int64_t count = 0;
  if (at == std::string_view::npos) return count;
  const std::string_view number = info.substr(at + kName.size());
  std::from_chars(number.data(), number.data() + number.size(), count);
  return count;
}

}  // namespace caisson::redis
