#include <cstddef>
#include <cstdint>

#include "capabilities/secrets/local_file_store.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view json(reinterpret_cast<const char*>(data + 1), size - 1);
  [[maybe_unused]] const auto secrets = caisson::secrets::parse_secrets(json, ":", (data[0] & 1) != 0);
  return 0;
}
