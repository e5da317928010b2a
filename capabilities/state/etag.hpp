#pragma once

#include <string>

namespace caisson::state {

/// A random UUID (version 4) as text, new for every write. From any thread.
std::string new_etag();

}  // namespace caisson::state
