// Bytes as another process or a file could give them: the input itself, the input behind a valid
// header, and a good snapshot that the input damages (as position and value, three bytes at a time)
// and whose checksum is then made right, so that the fuzzer gets into the structure.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config-cache/generation.hpp"
#include "config-cache/snapshot_header.hpp"
#include "config-cache/testing/sample.hpp"

namespace {

using namespace caisson::config;

/// What was understood can be said again.
void read(std::string_view snapshot) {
  const auto generation = decode(snapshot);
  if (generation && !decode(encode(*generation))) std::abort();
}

std::string damaged(std::string_view edits) {
  static const std::string good = encode(testing::sample_generation(1, 1)).substr(kSnapshotHeader);
  std::string body = good;
  for (; edits.size() >= 3; edits.remove_prefix(3)) {
    const std::size_t at = static_cast<unsigned char>(edits[0]) * 256U + static_cast<unsigned char>(edits[1]);
    body[at % body.size()] = edits[2];
  }
  return seal(body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  read(input);
  read(seal(input));
  read(damaged(input));
  return 0;
}
