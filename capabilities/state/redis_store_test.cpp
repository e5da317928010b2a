#include "capabilities/state/redis_store.hpp"

#include <gtest/gtest.h>

namespace caisson::state {
namespace {
}  // namespace
}  // namespace caisson::state
