#pragma once

#include "bus/link.hpp"

namespace caisson {

/// Moves one body to another, piece by piece as the reader takes them: the next piece is asked for
/// when the last one went, so credit passes through. Ends when either body does; an error of the one
/// is told to the other. One thread; owns both.
Task<void> pump(BodyReader from, BodyWriter to, Deadline deadline);

}  // namespace caisson
