#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "capabilities/config/items/items_file.hpp"
#include "capabilities/config/items/redis_store.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const caisson::items::Item item = caisson::items::parse_redis_value(text);
  if (!text.starts_with(item.value) || text.find(item.version) == std::string::npos) std::abort();
  const auto items = caisson::items::parse_items(text);
  if (!items) return 0;
  for (const auto& [key, read] : *items) {
    if (key.empty() || read.value.empty()) std::abort();
  }
  return 0;
}
