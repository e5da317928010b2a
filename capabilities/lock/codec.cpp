#include "capabilities/lock/codec.hpp"

#include <fmt/format.h>

namespace caisson::lock {

Caller caller_of(const sdk::Request& request) { return {std::string(request.app()), request.id(), request.deadline()}; }

sdk::ApiError api_error(const Refused& refused, Action action) {
  sdk::ApiError error;
  error.message = refused.message;
  switch (refused.why) {
    case Refusal::kMalformed:
      error.status = 400;
      error.code = "ERR_MALFORMED_REQUEST";
      break;
    case Refusal::kNoStores:
      error.code = "ERR_LOCK_STORE_NOT_CONFIGURED";
      break;
    case Refusal::kUnknownStore:
      error.status = 400;
      error.code = "ERR_LOCK_STORE_NOT_FOUND";
      break;
    case Refusal::kFailed:
      const bool take = action == Action::kTake;
      error.code = take ? "ERR_TRY_LOCK" : "ERR_UNLOCK";
      error.message =
          fmt::format("{}: {}", take ? "failed to try acquiring lock" : "failed to release lock", refused.message);
      break;
  }
  return error;
}

Errc rpc_code(Refusal why) {
  switch (why) {
    case Refusal::kMalformed:
    case Refusal::kUnknownStore:
      return Errc::kInvalidArgument;
    case Refusal::kNoStores:
      return Errc::kFailedPrecondition;
    case Refusal::kFailed:
      break;
  }
  return Errc::kInternal;
}

void count(sdk::Counters& counters, Action action, const std::optional<Refused>& refused, bool done) {
  const std::string_view operation = action == Action::kTake ? "lock" : "unlock";
  std::string_view result = done ? "done" : "not_done";
  if (refused) result = refused->why == Refusal::kFailed ? "failed" : "refused";
  counters.counter("lock_requests_total", fmt::format("operation=\"{}\",result=\"{}\"", operation, result)).add();
}

}  // namespace caisson::lock
