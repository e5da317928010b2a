// Any bytes: what is taken for a ports file says the same when it is written and read again.
#include <cstdlib>

#include "gateway/ports_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::gateway;
  const auto apps = parse_ports(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!apps) return 0;
  const auto again = parse_ports(to_json(PortsFile{1, 2, *apps}));
  if (!again || *again != *apps) std::abort();
  return 0;
}
