#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "bus/event_loop.hpp"
#include "bus/lane.hpp"

namespace caisson {

/// Two ends of a lane inside one process and one event loop (`inproc://`): frames are encoded and
/// verified as on any other lane, the payload is handed over. At most `capacity` frames wait in
/// each direction. Either end may die first; the other sees on_down().
std::pair<std::unique_ptr<Lane>, std::unique_ptr<Lane>> make_inproc_lanes(EventLoop& loop, std::size_t capacity = 1024);

}  // namespace caisson
