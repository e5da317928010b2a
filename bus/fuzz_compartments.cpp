#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bus/compartments.hpp"

/// Any bytes are a list or an error; a list that was read is read alike from what it is written as.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = caisson::parse_compartments({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  const auto again = caisson::parse_compartments(caisson::to_json(*read));
  if (!again || *again != *read) std::abort();
  return 0;
}
