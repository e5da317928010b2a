#pragma once

#include <string>
#include <string_view>

#include "gateway/facts.hpp"
#include "gateway/runtime/attributes.hpp"

namespace caisson::gateway {

/// What `/v1.0/metadata` says as the runtime's version. SDKs and the CLI read no number out of it;
/// `daprRuntimeVersion` says the same.
inline constexpr std::string_view kRuntimeVersion = CAISSON_VERSION;

/// The body of GET `/v1.0/metadata` for one app: its components that are up and that it may see,
/// what capabilities add by their status, how the app is reached, the attributes.
///
/// Of what capabilities add, lists under the same name are joined, and an entry with a member
/// "appId" is shown to that app alone, without the member; of anything else the first is taken.
std::string render_metadata(const Facts& facts, std::string_view app, const Attributes& attributes);

}  // namespace caisson::gateway
