#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "sdk/component_set.hpp"

namespace caisson::state {

/// What a `state.sqlite` component's metadata says; names and defaults are Dapr's, except that the
/// connection string may be left out.
struct SqliteOptions {
  /// The file, or ":memory:".
  std::string path;
  std::string table = "state";
  std::string metadata_table = "metadata";
  /// How often rows whose time is over are removed; zero: never.
  Nanos cleanup_interval = std::chrono::hours(1);
  /// For opening the file; a write that takes longer is answered at the caller's deadline.
  Nanos timeout = std::chrono::seconds(20);
  /// How long to wait for a lock that another process holds on the file.
  Nanos busy_timeout = std::chrono::seconds(2);
  bool wal = true;
  bool read_only = false;
  /// Other instances of the capability have the file open as well; not from metadata.
  bool shared = false;
  /// PRAGMA statements of the connection string: name and value.
  std::vector<std::pair<std::string, std::string>> pragmas;

  [[nodiscard]] bool in_memory() const { return path == ":memory:"; }
};

/// kInvalidArgument names the key. `default_path` is used when there is no connectionString.
Result<SqliteOptions> parse_sqlite_options(const sdk::Metadata& metadata, std::string default_path);

}  // namespace caisson::state
