#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "sdk/counters.hpp"

namespace caisson::state {

/// Counts the requests of one operation by how they ended, in `state_requests_total`. A counter is looked up at its
/// first request, because the table behind it is opened after the routes are defined. One thread.
class OperationCounter {
 public:
  enum class End : std::uint8_t { kOk, kRefused, kFailed };

  OperationCounter(sdk::Counters& table, std::string operation) : table_(table), operation_(std::move(operation)) {}

  void add(End end) {
    std::optional<sdk::Counter>& counter = counters_[static_cast<std::size_t>(end)];
    if (!counter) {
      constexpr std::array kNames = {"ok", "refused", "failed"};
      const auto labels =
          fmt::format("operation=\"{}\",result=\"{}\"", operation_, kNames[static_cast<std::size_t>(end)]);
      counter = table_.counter("state_requests_total", labels);
    }
    counter->add();
  }

 private:
  sdk::Counters& table_;
  std::string operation_;
  std::array<std::optional<sdk::Counter>, 3> counters_;
};

}  // namespace caisson::state
