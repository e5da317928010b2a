#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"
#include "sdk/capability.hpp"

namespace caisson::sdk {

/// What a capability's Status frame says, as JSON:
/// {"capability","instance","version","draining":bool,"configured":bool,
///  "components":[{"name","type","version","state":"INIT|UP|DOWN","reason"?,"capabilities"?:[…],
///                 "ignoreErrors"?:true,"initFailed"?:true,"scopes"?:[…]}],
///  "metadata":{…}}
struct Status {
  std::string capability;
  std::string instance;
  std::string version;
  bool draining = false;
  /// It has a configuration generation, or takes none.
  bool configured = true;
  std::vector<ComponentStatus> components;
  /// JSON object: members for the runtime's metadata.
  std::string metadata = "{}";
};

std::string to_json(const Status& status);

/// Reads what another process sent; kInvalidArgument names the member.
Result<Status> parse_status(std::string_view json);

}  // namespace caisson::sdk
