#include "capabilities/pubsub/option_reading.hpp"

#include <fmt/format.h>

namespace caisson::pubsub {

Result<std::int64_t> read_count(const sdk::Metadata& metadata, std::string_view name, std::int64_t otherwise,
                                std::int64_t least) {
  ASSIGN(const std::int64_t number, metadata.get_int(name, otherwise));
  if (number < least) {
    return Error{Errc::kInvalidArgument, fmt::format("metadata '{}' must be at least {}", name, least)};
  }
  return number;
}

Result<Nanos> read_span(const sdk::Metadata& metadata, std::string_view name, Nanos otherwise) {
  ASSIGN(const Nanos span, metadata.get_duration(name, otherwise));
  if (span < Nanos::zero()) return Error{Errc::kInvalidArgument, fmt::format("metadata '{}' is negative", name)};
  return span;
}

}  // namespace caisson::pubsub
