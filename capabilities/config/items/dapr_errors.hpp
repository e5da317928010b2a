#pragma once

#include <string>
#include <vector>

#include "capabilities/config/items/service.hpp"
#include "sdk/http_reply.hpp"

/// The errors of Dapr's configuration API, for both its protocols. Texts are Dapr's.
namespace caisson::items::dapr_errors {

sdk::ApiError not_read(const Refused& refused, const std::string& store, const std::vector<std::string>& keys);
sdk::ApiError not_subscribed(const Refused& refused, const std::string& store, const std::vector<std::string>& keys);
/// Not for Refusal::kFailed, which has a form of its own in each protocol.
sdk::ApiError not_unsubscribed(const Refused& refused, const std::string& store);

}  // namespace caisson::items::dapr_errors
