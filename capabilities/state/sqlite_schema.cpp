#include "capabilities/state/sqlite_schema.hpp"

#include <fmt/format.h>

namespace caisson::state {

namespace {

/// Dapr's layout, column for column; "migrations" holds the number of its schema steps, which is one.
constexpr std::string_view kDaprTables = R"sql(
CREATE TABLE IF NOT EXISTS {metadata} (
  key text NOT NULL PRIMARY KEY,
  value text NOT NULL
);
CREATE TABLE IF NOT EXISTS {state} (
  key TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  is_binary BOOLEAN NOT NULL,
  etag TEXT NOT NULL,
  expiration_time TIMESTAMP DEFAULT NULL,
  update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT OR IGNORE INTO {metadata} (key, value) VALUES ('migrations', '1');
)sql";

constexpr std::string_view kOwnTables = R"sql(
CREATE INDEX IF NOT EXISTS caisson_{state}_expiration ON {state} (expiration_time)
  WHERE expiration_time IS NOT NULL;
CREATE TABLE IF NOT EXISTS caisson_ledger (
  gateway INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  written INTEGER NOT NULL,
  results TEXT NOT NULL,
  PRIMARY KEY (gateway, slot)
) WITHOUT ROWID;
)sql";

}  // namespace

Result<void> create_tables(SqliteConnection& connection, const SqliteOptions& options) {
  const auto statements = [&](std::string_view pattern) {
    return fmt::format(fmt::runtime(pattern), fmt::arg("metadata", options.metadata_table),
                       fmt::arg("state", options.table));
  };
  const std::string sql = "BEGIN IMMEDIATE;" + statements(kDaprTables) + statements(kOwnTables) + "COMMIT;";
  auto created = connection.execute(sql);
  if (!created && connection.in_transaction()) (void)connection.execute("ROLLBACK");
  return created;
}

}  // namespace caisson::state
