#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "capabilities/state/store.hpp"

namespace caisson::state {

/// The host's clock.
WallClock system_wall_clock();

/// "2026-01-02 03:04:05" in UTC, as SQLite's CURRENT_TIMESTAMP; compares as text in order of time.
std::string sql_time(std::int64_t unix_milliseconds);

/// The same, written once for all moments of a second. One thread.
class SqlTime {
 public:
  /// Valid until the next call.
  std::string_view at(std::int64_t unix_milliseconds);

 private:
  std::int64_t second_ = -1;
  std::string text_;
};

/// "2026-01-02T03:04:05Z" (RFC 3339).
std::string rfc3339(std::int64_t unix_milliseconds);

/// The second form of the first; any other text as it is.
std::string rfc3339_of_sql(std::string_view sql_time);

}  // namespace caisson::state
