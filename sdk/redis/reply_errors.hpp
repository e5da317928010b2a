#pragma once

#include <optional>

#include "bus/result.hpp"
#include "sdk/redis/reply.hpp"

namespace caisson::redis {

/// The Error that an error reply stands for when the server refused the command before it executed
/// anything of it; nothing for every other reply.
std::optional<Error> refusal_of(const Reply& reply);

/// The server is a replica: its master is elsewhere.
bool is_read_only(const Reply& reply);

}  // namespace caisson::redis
