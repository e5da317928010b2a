#include <cstdint>
#include <cstdlib>
#include <string>

#include "capabilities/state/dapr_json.hpp"
#include "capabilities/state/value_encoding.hpp"

/// Bodies of every kind; and what go_json() writes must be a fixed point of itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::state;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)parse_set(text).has_value();
  (void)parse_get_many(text).has_value();
  (void)parse_transaction(text).has_value();
  const auto written = go_json(text);
  if (written) {
    const auto again = go_json(*written);
    if (!again || *again != *written) std::abort();
    const auto compact = compact_json(*written);
    if (!compact || *compact != *written) std::abort();
  }
  if (compact_json(text).has_value() != written.has_value()) std::abort();
  return 0;
}
