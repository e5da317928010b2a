#include "capabilities/state/etag.hpp"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace caisson::state {

namespace {

/// Random bytes of the kernel, fetched for some etags at once: one system call each would cost more
/// than all the rest of a small write.
class RandomBytes {
 public:
  void take(std::array<std::uint8_t, 16>& out) {
    if (used_ == bytes_.size()) refill();
    std::memcpy(out.data(), bytes_.data() + used_, out.size());
    used_ += out.size();
  }

 private:
  void refill() {
    // Up to 256 bytes come whole and without EINTR once the pool is initialised (getrandom(2)).
    if (::getrandom(bytes_.data(), bytes_.size(), 0) != static_cast<ssize_t>(bytes_.size())) std::abort();
    used_ = 0;
  }

  std::array<std::uint8_t, 256> bytes_{};
  std::size_t used_ = sizeof(bytes_);
};

}  // namespace

std::string new_etag() {
  thread_local RandomBytes random;
  std::array<std::uint8_t, 16> bytes{};
  random.take(bytes);
  bytes[6] = (bytes[6] & 0x0F) | 0x40;  // version 4
  bytes[8] = (bytes[8] & 0x3F) | 0x80;  // RFC 4122 variant
  constexpr char kHex[] = "0123456789abcdef";
  std::string text(36, '-');
  char* at = text.data();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) ++at;  // the hyphen is there
    *at++ = kHex[bytes[i] >> 4];
    *at++ = kHex[bytes[i] & 15];
  }
  return text;
}

}  // namespace caisson::state
