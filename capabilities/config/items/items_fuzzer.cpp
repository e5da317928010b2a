#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "capabilities/config/items/items_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto items = caisson::items::parse_items(std::string(reinterpret_cast<const char*>(data), size));
  if (!items) return 0;
  for (const auto& [key, item] : *items) {
    if (key.empty() || item.value.empty()) std::abort();
  }
  return 0;
}
