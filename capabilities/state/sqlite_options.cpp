#include "capabilities/state/sqlite_options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/log.hpp"
#include "sdk/request.hpp"

namespace caisson::state {

namespace {

Error bad(std::string_view key, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("metadata '{}' {}", key, what)};
}

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

/// A duration under either of two names; a bare number means seconds, as in Dapr's SQL components.
Result<Nanos> duration(const sdk::Metadata& metadata, std::string_view name, std::string_view other, Nanos otherwise) {
  auto text = metadata.find(name);
  if (!text) text = metadata.find(other);
  if (!text || text->empty()) return otherwise;
  const std::string_view digits = text->starts_with('-') ? std::string_view(*text).substr(1) : std::string_view(*text);
  const bool bare = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
  const auto parsed = sdk::parse_duration(bare ? *text + "s" : *text);
  if (!parsed) return bad(name, "is not a duration such as 500ms, 1m30s or a number of seconds");
  return *parsed;
}

/// "busy_timeout(500)" or "busy_timeout=500" of a connection string.
Result<void> add_pragma(SqliteOptions& options, std::string_view text) {
  const std::size_t middle = text.find_first_of("(=");
  if (middle == std::string_view::npos) return bad("connectionString", "has a _pragma without a value");
  const std::string_view name = text.substr(0, middle);
  std::string_view value = text.substr(middle + 1);
  if (text[middle] == '(' && value.ends_with(')')) value.remove_suffix(1);
  if (!is_word(name) || !is_word(value.starts_with('-') ? value.substr(1) : value)) {
    return bad("connectionString", "has a _pragma that is not of the form name(value)");
  }
  for (const std::string_view reserved : {"busy_timeout", "journal_mode", "foreign_keys", "synchronous"}) {
    if (equal_ignoring_case(name, reserved)) {
      return bad("connectionString", fmt::format("must not set _pragma={}", reserved));
    }
  }
  options.pragmas.emplace_back(name, value);
  return ok();
}

Result<void> parse_connection_string(SqliteOptions& options, std::string_view text) {
  const bool is_uri = text.size() >= 5 && equal_ignoring_case(text.substr(0, 5), "file:");
  if (is_uri) text.remove_prefix(5);
  const std::size_t question = std::min(text.find('?'), text.size());
  std::string_view path = text.substr(0, question);
  if (path.starts_with("///")) path.remove_prefix(2);  // file:///var/data.db
  options.path =
      is_uri ? sdk::percent_decode(path, /*plus_is_space=*/false).value_or(std::string(path)) : std::string(path);
  if (question < text.size()) {
    for (const auto& [name, value] : sdk::parse_query(text.substr(question + 1))) {
      if (name == "_pragma") {
        TRY(add_pragma(options, value));
      } else if (name == "mode" && value == "memory") {
        options.path = ":memory:";
      } else if ((name == "mode" && value == "ro") || (name == "immutable" && value == "1")) {
        options.read_only = true;
      } else if (name != "mode" && name != "cache" && name != "_txlock") {
        log(LogLevel::kWarning, fmt::format("state.sqlite: option '{}' of the connectionString is not known", name));
      }
    }
  }
  if (options.path.size() >= 8 && equal_ignoring_case(options.path.substr(0, 8), ":memory:")) options.path = ":memory:";
  if (options.path.empty()) return bad("connectionString", "names no file");
  return ok();
}

}  // namespace

Result<SqliteOptions> parse_sqlite_options(const sdk::Metadata& metadata, std::string default_path) {
  SqliteOptions options;
  options.path = std::move(default_path);
  auto connection = metadata.find("connectionString");
  if (!connection) connection = metadata.find("url");
  if (connection && !connection->empty()) TRY(parse_connection_string(options, *connection));

  options.table = metadata.get("tableName", options.table);
  if (!is_word(options.table)) return bad("tableName", "may hold letters, digits and '_' only");
  options.metadata_table = metadata.get("metadataTableName", options.metadata_table);
  if (!is_word(options.metadata_table)) return bad("metadataTableName", "may hold letters, digits and '_' only");

  ASSIGN(options.cleanup_interval,
         duration(metadata, "cleanupInterval", "cleanupIntervalInSeconds", options.cleanup_interval));
  options.cleanup_interval = std::max(options.cleanup_interval, Nanos::zero());
  ASSIGN(options.timeout, duration(metadata, "timeout", "timeoutInSeconds", options.timeout));
  if (options.timeout < std::chrono::seconds(1)) return bad("timeout", "must be at least 1s");
  ASSIGN(options.busy_timeout, duration(metadata, "busyTimeout", "busyTimeout", options.busy_timeout));
  ASSIGN(const bool without_wal, metadata.get_bool("disableWAL", false));
  options.wal = !without_wal && !options.read_only && !options.in_memory();
  return options;
}

}  // namespace caisson::state
