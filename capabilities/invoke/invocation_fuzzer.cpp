#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "capabilities/invoke/invocation.hpp"

/// A path that was cleaned is clean: cleaning it again changes nothing, and nothing in it climbs.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::invoke;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  [[maybe_unused]] const auto app = app_of_authorization(text);
  const auto clean = clean_path(text);
  if (!clean) return 0;
  const auto again = clean_path(clean->path);
  if (!again || again->path != clean->path) std::abort();
  if (!clean->path.starts_with('/') || clean->path.find("/../") != std::string::npos) std::abort();
  return 0;
}
