#include <cstdint>
#include <string_view>

#include "gateway/runtime/descriptors.hpp"
#include "gateway/runtime/metadata_message.hpp"

/// What other processes say of themselves as part of the metadata, and messages whose fields are looked for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::gateway;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)metadata_message(bytes).has_value();
  const auto descriptors = Descriptors::read(bytes);
  if (descriptors) (void)descriptors->with_imports(descriptors->file_of(bytes));
  return 0;
}
