#pragma once

#include <string_view>

#include "bus/result.hpp"
#include "capabilities/lock/operation.hpp"

/// Bodies of the Dapr HTTP API, which are protobuf's JSON: members in lower camel case or as in the .proto
/// file, 32-bit numbers also as text, null for a default, unknown members ignored, each member once.
namespace caisson::lock {

/// `store` stays empty: it is in the path. An empty body is an empty message. kInvalidArgument says what is
/// wrong where.
Result<TryLock> parse_try_lock(std::string_view body);
Result<Unlock> parse_unlock(std::string_view body);

}  // namespace caisson::lock
