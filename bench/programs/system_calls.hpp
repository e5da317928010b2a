#pragma once

#include <cstdint>

namespace caisson::bench {

/// How often this process has called read, write, send, receive, poll and epoll through the C library since its start,
/// all threads and libraries. Counted by wrappers in system_calls.cpp that stand before the C library's own functions,
/// so it needs no privilege; waits on a futex are not counted.
std::uint64_t system_calls();

}  // namespace caisson::bench
