#pragma once

#include <cstdint>
#include <string_view>

namespace caisson::redis {

/// How many replicas a server has, from its answer to INFO replication; none when it does not say.
std::int64_t connected_replicas(std::string_view info);

}  // namespace caisson::redis
