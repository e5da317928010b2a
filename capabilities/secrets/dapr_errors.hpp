#pragma once

#include <string>

#include "capabilities/secrets/service.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::secrets {

/// A refusal in the words of Dapr's secrets API, for both its protocols. `what` was asked for: "secret with key
/// K", "all secrets".
sdk::ApiError api_error(const Refused& refused, const std::string& store, const std::string& what);

}  // namespace caisson::secrets
