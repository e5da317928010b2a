#pragma once

#include <memory>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/lane.hpp"
#include "bus/shm_spin.hpp"

namespace caisson {

/// Lanes through memory that the two processes share, with a Unix socket at `path` to find each other.
/// docs/wire-format.md has the layout; each side writes only memory of its own.
std::unique_ptr<LaneListener> make_shm_listener(EventLoop& loop, std::string path, Spin spin);
/// kResourceExhausted: no memory or no descriptors.
Result<std::unique_ptr<Lane>> connect_shm(EventLoop& loop, const std::string& path, Spin spin);

}  // namespace caisson
