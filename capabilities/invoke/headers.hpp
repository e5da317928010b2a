#pragma once

#include <string_view>
#include <vector>

#include "bus/wire.hpp"

namespace caisson::invoke {

/// Headers of one connection only, never passed on (RFC 9110 section 7.6.1).
bool is_hop_by_hop(std::string_view name);

/// What of a caller's headers goes to the app: not those of the connection, of the body's framing
/// (`keep_length` for a streamed body, whose length the app's side needs), of this API, or the
/// callers' and callee's names, which only the runtime may say. The fields point into `given`.
std::vector<Field> request_headers(Fields given, bool keep_length);

/// What of the app's headers goes to the caller.
std::vector<Field> response_headers(Fields given);

}  // namespace caisson::invoke
