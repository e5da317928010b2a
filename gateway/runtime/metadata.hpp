#pragma once

#include <map>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "gateway/facts.hpp"

namespace caisson::gateway {

/// What `/v1.0/metadata` says as the runtime's version. SDKs and the CLI read no number out of it;
/// `daprRuntimeVersion` says the same.
inline constexpr std::string_view kRuntimeVersion = CAISSON_VERSION;

/// The attributes that clients put beside the runtime's own (the CLI keeps its pids there), per app.
/// In the gateway's memory only: they end with it, as they do with daprd. One thread.
class Attributes {
 public:
  static constexpr std::size_t kMaxKeys = 256;
  static constexpr std::size_t kMaxBytes = 256 * 1024;

  /// kResourceExhausted when the app holds too many, or too much.
  Result<void> put(std::string_view app, std::string key, std::string value);
  [[nodiscard]] const std::map<std::string, std::string>& of(std::string_view app) const;

 private:
  std::map<std::string, std::map<std::string, std::string>, std::less<>> apps_;
};

/// The body of GET `/v1.0/metadata` for one app: its components that are up and that it may see,
/// what capabilities add by their status, how the app is reached, the attributes.
///
/// Of what capabilities add, lists under the same name are joined, and an entry with a member
/// "appId" is shown to that app alone, without the member; of anything else the first is taken.
std::string render_metadata(const Facts& facts, std::string_view app, const Attributes& attributes);

}  // namespace caisson::gateway
