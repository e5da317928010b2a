#pragma once

#include "bus/result.hpp"
#include "capabilities/state/sqlite_connection.hpp"
#include "capabilities/state/sqlite_options.hpp"

namespace caisson::state {

/// Creates the tables that are missing, in one transaction: Dapr's two (with its migration level)
/// and ours. Tables that are there are left as they are.
Result<void> create_tables(SqliteConnection& connection, const SqliteOptions& options);

}  // namespace caisson::state
