#pragma once

#include <cstdint>
#include <string_view>

#include "bus/clock.hpp"

namespace caisson {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

/// Prepares logging for this process: lines go to stderr, each with `process` in it. Call once,
/// before threads start. `level` is debug, info, warn, error or fatal; anything else means info.
void start_logging(std::string_view process, std::string_view level, bool as_json = false);

/// Writes one line; safe from any thread, never throws. Never log a component's metadata values.
void log(LogLevel level, std::string_view message);
[[nodiscard]] bool log_enabled(LogLevel level);

/// Lets a line that can repeat through at most once per `interval`, and counts what it held back.
/// A member beside the code that logs; one thread.
class LogLimit {
 public:
  explicit LogLimit(Nanos interval = std::chrono::seconds(1)) : interval_(interval) {}

  /// Logs the message, with the number of lines held back since the last, or holds it back.
  void log(LogLevel level, std::string_view message);

 private:
  Nanos interval_;
  Nanos next_{};
  std::uint64_t held_back_ = 0;
};

}  // namespace caisson
