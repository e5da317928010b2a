#pragma once

#include <memory>

#include "capabilities/secrets/secret_store.hpp"

namespace caisson::secrets {

/// The prefix of all types that are made here.
inline constexpr std::string_view kTypePrefix = "secretstores.";

/// The backend of a component's type. kInvalidArgument for a type or metadata there is none for.
Task<Result<std::shared_ptr<sdk::Component>>> make_store(const sdk::ComponentSpec& spec, Deadline deadline);

}  // namespace caisson::secrets
