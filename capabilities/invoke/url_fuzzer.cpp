#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "capabilities/invoke/access_control.hpp"
#include "capabilities/invoke/url.hpp"

/// What is taken for a URL can be written into a request; access lists take any method.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto url = invoke::parse_url(text)) {
    if (url->host.empty() || url->port == 0) std::abort();
    for (const char c : url->authority + url->base_path) {
      if (c <= ' ' || c > '~' || c == '?' || c == '#') std::abort();
    }
  }
  const std::size_t half = size / 2;
  config::Configuration configuration;
  configuration.access_default_action = "allow";
  config::AccessPolicy policy;
  policy.app = "shop";
  policy.trust_domain = "public";
  policy.app_namespace = "default";
  policy.operations.push_back({std::string(text.substr(0, half)), {"*"}, false});
  configuration.access_policies.push_back(policy);
  const invoke::AccessControl access(configuration);
  // A name without wildcards denies itself.
  const bool plain = text.substr(0, half).find('*') == std::string_view::npos;
  if (plain && access.check({"shop", "default"}, text.substr(0, half), "GET", false)) std::abort();
  [[maybe_unused]] const auto other = access.check({"shop", "default"}, text.substr(half), "GET", true);
  return 0;
}
