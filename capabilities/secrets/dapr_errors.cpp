#include "capabilities/secrets/dapr_errors.hpp"

#include <fmt/format.h>

namespace caisson::secrets {

sdk::ApiError api_error(const Refused& refused, const std::string& store, const std::string& what) {
  sdk::ApiError error;
  switch (refused.why) {
    case Refusal::kNoStores:
      error.rpc = Errc::kFailedPrecondition;
      error.code = "ERR_SECRET_STORES_NOT_CONFIGURED";
      error.message = "secret store is not configured";
      break;
    case Refusal::kUnknownStore:
      error.status = 401;
      error.rpc = Errc::kInvalidArgument;
      error.code = "ERR_SECRET_STORE_NOT_FOUND";
      error.message = fmt::format("failed finding secret store with key {}", store);
      break;
    case Refusal::kDenied:
      error.status = 403;
      error.rpc = Errc::kPermissionDenied;
      error.code = "ERR_PERMISSION_DENIED";
      error.message = fmt::format("access denied by policy to get {} from {}", what, store);
      break;
    case Refusal::kFailed:
      error.code = "ERR_SECRET_GET";
      error.message = fmt::format("failed getting {} from secret store {}: {}", what, store, refused.message);
      break;
  }
  return error;
}

}  // namespace caisson::secrets
