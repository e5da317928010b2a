#pragma once

#include <cstdint>
#include <string_view>

#include "sdk/component_set.hpp"

namespace caisson::pubsub {

/// A whole number of at least `least`; kInvalidArgument names the key.
Result<std::int64_t> read_count(const sdk::Metadata& metadata, std::string_view name, std::int64_t otherwise,
                                std::int64_t least);

/// A duration that is not negative; kInvalidArgument names the key.
Result<Nanos> read_span(const sdk::Metadata& metadata, std::string_view name, Nanos otherwise);

}  // namespace caisson::pubsub
