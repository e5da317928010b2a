#include "bus/duration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace caisson {

Result<Nanos> parse_duration(std::string_view text) {
  const Error error{Errc::kInvalidArgument, fmt::format("'{}' is not a duration", text)};
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty()) return error;

  if (rest.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t milliseconds = 0;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), milliseconds);
    constexpr std::int64_t kMost = Nanos::max().count() / 1'000'000;
    if (parsed.ec != std::errc() || milliseconds > kMost) return error;
    const Nanos span = std::chrono::milliseconds(milliseconds);
    return negative ? -span : span;
  }

  struct Unit {
    std::string_view name;
    double nanos;
  };
  constexpr Unit kUnits[] = {{"ns", 1},   {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3},
                             {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},      {"h", 3600e9}};
  double total = 0;
  while (!rest.empty()) {
    double number = 0;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    if (parsed.ec != std::errc() || number < 0) return error;
    rest.remove_prefix(static_cast<std::size_t>(parsed.ptr - rest.data()));
    const std::size_t unit_length = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view unit_name = rest.substr(0, unit_length);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (candidate.name == unit_name) unit = &candidate;
    }
    if (unit == nullptr) return error;
    total += number * unit->nanos;
    rest.remove_prefix(unit_length);
  }
  if (total > static_cast<double>(Nanos::max().count()) / 2) return error;
  const Nanos span(static_cast<std::int64_t>(total + 0.5));
  return negative ? -span : span;
}

}  // namespace caisson
