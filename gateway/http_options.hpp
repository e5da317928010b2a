#pragma once

#include <cstddef>

#include "bus/clock.hpp"

namespace caisson::gateway {

/// How long and how much a client may take; HTTP/1.1 and HTTP/2.
struct HttpOptions {
  /// Request line and headers together.
  std::size_t header_limit = 4 * 1024;
  Nanos header_time = std::chrono::seconds(10);
  Nanos idle_time = std::chrono::seconds(180);
  /// Without a byte of a body arriving, or of an answer being taken.
  Nanos stall_time = std::chrono::seconds(30);
  /// What is read and thrown away of a body that nobody wants, before the connection is closed.
  std::size_t drain_limit = 256 * 1024;
};

}  // namespace caisson::gateway
