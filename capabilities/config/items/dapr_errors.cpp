#include "capabilities/config/items/dapr_errors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace caisson::items::dapr_errors {

namespace {

sdk::ApiError make(const Refused& refused, const std::string& store, sdk::ApiError failed) {
  sdk::ApiError error;
  switch (refused.why) {
    case Refusal::kNoStores:
      error.rpc = Errc::kFailedPrecondition;
      error.code = "ERR_CONFIGURATION_STORE_NOT_CONFIGURED";
      error.message = "configuration stores not configured";
      break;
    case Refusal::kUnknownStore:
      error.status = 400;
      error.rpc = Errc::kInvalidArgument;
      error.code = "ERR_CONFIGURATION_STORE_NOT_FOUND";
      error.message = fmt::format("configuration store {} not found", store);
      break;
    case Refusal::kNoAppChannel:
      error.code = "ERR_APP_CHANNEL_NIL";
      error.message = "app channel is not initialized";
      break;
    case Refusal::kFailed:
      failed.message += ": " + refused.message;
      return failed;
  }
  return error;
}

}  // namespace

sdk::ApiError not_read(const Refused& refused, const std::string& store, const std::vector<std::string>& keys) {
  sdk::ApiError failed;
  failed.code = "ERR_CONFIGURATION_GET";
  failed.message = fmt::format("failed to get [{}] from Configuration store {}", fmt::join(keys, " "), store);
  return make(refused, store, std::move(failed));
}

sdk::ApiError not_subscribed(const Refused& refused, const std::string& store, const std::vector<std::string>& keys) {
  sdk::ApiError failed;
  failed.rpc = Errc::kInvalidArgument;
  failed.code = "ERR_CONFIGURATION_SUBSCRIBE";
  failed.message = fmt::format("failed to subscribe [{}] from Configuration store {}", fmt::join(keys, " "), store);
  return make(refused, store, std::move(failed));
}

sdk::ApiError not_unsubscribed(const Refused& refused, const std::string& store) {
  return make(refused, store, sdk::ApiError());
}

}  // namespace caisson::items::dapr_errors
