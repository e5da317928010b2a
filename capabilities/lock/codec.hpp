#pragma once

#include <optional>

#include "capabilities/lock/service.hpp"
#include "sdk/counters.hpp"
#include "sdk/http_reply.hpp"
#include "sdk/request.hpp"

/// What both codecs of Dapr's API do alike.
namespace caisson::lock {

/// Names of locks and owners are short, and many requests may wait at once.
inline constexpr std::size_t kMostRequestBytes = 64 * 1024;

Caller caller_of(const sdk::Request& request);

/// A refusal in the words of Dapr's API.
sdk::ApiError api_error(const Refused& refused, Action action);

/// gRPC's code for the same.
Errc rpc_code(Refusal why);

/// lock_requests_total of caisson's metrics: `done`; `not_done` where somebody else holds the lock or there
/// is none; `refused` for what is wrong with the request or the configuration; `failed`.
void count(sdk::Counters& counters, Action action, const std::optional<Refused>& refused, bool done);

}  // namespace caisson::lock
