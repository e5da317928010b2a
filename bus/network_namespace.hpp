#pragma once

#include <cstdint>

namespace caisson {

/// Tells the network namespaces of a host apart while it runs: processes that see the same number have
/// the same 127.0.0.1. 0: the kernel does not say (before Linux 5.14). socket(7), SO_NETNS_COOKIE.
std::uint64_t network_namespace();

}  // namespace caisson
