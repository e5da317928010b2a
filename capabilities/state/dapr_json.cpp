#include "capabilities/state/dapr_json.hpp"

#include <fmt/format.h>

#include "bus/json_writer.hpp"
#include "bus/log.hpp"
#include "bus/wire.hpp"
#include "capabilities/state/value_encoding.hpp"

namespace caisson::state {

namespace {

using Kind = sdk::JsonReader::Kind;

Result<void> read_text(sdk::JsonReader& json, std::string_view field, std::string& out) {
  if (json.kind() == Kind::kNull) return json.read_null();
  if (json.kind() != Kind::kString) return json.error(fmt::format("'{}' must be a string", field));
  ASSIGN(out, json.read_string());
  return ok();
}

Result<void> read_metadata(sdk::JsonReader& json, Metadata& out) {
  if (json.kind() == Kind::kNull) return json.read_null();
  if (json.kind() != Kind::kObject) return json.error("'metadata' must be an object");
  return json.read_object([&](const std::string& name) -> Result<void> {
    std::string value;
    TRY(read_text(json, "metadata." + name, value));
    out[name] = std::move(value);
    return ok();
  });
}

Result<void> read_options(sdk::JsonReader& json, Change& out) {
  if (json.kind() == Kind::kNull) return json.read_null();
  if (json.kind() != Kind::kObject) return json.error("'options' must be an object");
  return json.read_object([&](const std::string& name) -> Result<void> {
    if (equal_ignoring_case(name, "concurrency")) return read_text(json, "options.concurrency", out.concurrency);
    if (equal_ignoring_case(name, "consistency")) return read_text(json, "options.consistency", out.consistency);
    return json.skip();
  });
}

Result<Change> read_change(sdk::JsonReader& json) {
  Change change;
  change.value = "null";  // what Go makes of an absent value
  if (json.kind() == Kind::kNull) {
    TRY(json.read_null());
    return change;
  }
  if (json.kind() != Kind::kObject) return json.error("a state item must be an object");
  TRY(json.read_object([&](const std::string& name) -> Result<void> {
    if (equal_ignoring_case(name, "key")) return read_text(json, "key", change.key);
    if (equal_ignoring_case(name, "etag")) return read_text(json, "etag", change.etag);
    if (equal_ignoring_case(name, "metadata")) return read_metadata(json, change.metadata);
    if (equal_ignoring_case(name, "options")) return read_options(json, change);
    if (!equal_ignoring_case(name, "value")) return json.skip();
    change.value.clear();
    return append_go_json(json, change.value);
  }));
  return change;
}

struct Operation {
  std::string name;
  Change change;
};

Result<Operation> read_operation(sdk::JsonReader& json) {
  Operation operation;
  if (json.kind() != Kind::kObject) return json.error("an operation must be an object");
  TRY(json.read_object([&](const std::string& name) -> Result<void> {
    if (equal_ignoring_case(name, "operation")) return read_text(json, "operation", operation.name);
    if (!equal_ignoring_case(name, "request")) return json.skip();
    ASSIGN(operation.change, read_change(json));
    return ok();
  }));
  return operation;
}

}  // namespace

Result<std::vector<Change>> parse_set(std::string body) {
  sdk::JsonReader json(std::move(body));
  std::vector<Change> changes;
  if (json.kind() == Kind::kNull) {
    TRY(json.read_null());
  } else {
    if (json.kind() != Kind::kArray) return json.error("the body must be an array of state items");
    TRY(json.read_array([&]() -> Result<void> {
      ASSIGN(Change change, read_change(json));
      changes.push_back(std::move(change));
      return ok();
    }));
  }
  TRY(json.expect_end());
  return changes;
}

Result<std::vector<std::string>> parse_get_many(std::string body) {
  sdk::JsonReader json(std::move(body));
  std::vector<std::string> keys;
  const auto read_keys = [&]() -> Result<void> {
    if (json.kind() == Kind::kNull) return json.read_null();
    if (json.kind() != Kind::kArray) return json.error("'keys' must be an array");
    keys.clear();
    return json.read_array([&]() -> Result<void> { return read_text(json, "keys", keys.emplace_back()); });
  };
  if (json.kind() != Kind::kObject) return json.error("the body must be an object with 'keys'");
  TRY(json.read_object([&](const std::string& name) -> Result<void> {
    if (equal_ignoring_case(name, "keys")) return read_keys();
    if (equal_ignoring_case(name, "metadata")) {
      Metadata ignored;
      return read_metadata(json, ignored);
    }
    if (equal_ignoring_case(name, "parallelism") && json.kind() != Kind::kNull) {
      TRY(json.read_number());
      return ok();
    }
    return json.skip();
  }));
  TRY(json.expect_end());
  return keys;
}

Result<ParsedTransaction> parse_transaction(std::string body) {
  sdk::JsonReader json(std::move(body));
  ParsedTransaction parsed;
  Metadata shared;
  const auto read_operations = [&]() -> Result<void> {
    if (json.kind() == Kind::kNull) return json.read_null();
    if (json.kind() != Kind::kArray) return json.error("'operations' must be an array");
    return json.read_array([&]() -> Result<void> {
      ASSIGN(Operation operation, read_operation(json));
      if (operation.name != "upsert" && operation.name != "delete") {
        if (!parsed.has_unknown_operation) parsed.unknown_operation = operation.name;
        parsed.has_unknown_operation = true;
        return ok();
      }
      operation.change.kind = operation.name == "upsert" ? ChangeKind::kSet : ChangeKind::kDelete;
      if (!parsed.has_unknown_operation) parsed.changes.push_back(std::move(operation.change));
      return ok();
    });
  };
  if (json.kind() != Kind::kObject) return json.error("the body must be an object with 'operations'");
  TRY(json.read_object([&](const std::string& name) -> Result<void> {
    if (equal_ignoring_case(name, "operations")) return read_operations();
    if (equal_ignoring_case(name, "metadata")) return read_metadata(json, shared);
    return json.skip();
  }));
  TRY(json.expect_end());
  return parsed;
}

std::string format_get_many(const std::vector<std::string>& keys, const std::vector<Found>& found) {
  JsonWriter json(HtmlEscape::kYes);
  json.begin_array();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    json.begin_object().key("key").value(keys[i]);
    if (!found[i]) {
      json.key("error").value(found[i].error().message);
    } else if (const std::optional<Entry>& entry = *found[i]; entry) {
      if (!entry->value.empty()) {
        const auto data = compact_json(entry->value);
        if (!data) {
          log(LogLevel::kWarning,
              fmt::format("bulk get of '{}': its value is no JSON, the answer stays empty", keys[i]));
          return {};
        }
        json.key("data").raw(*data);
      }
      json.key("etag").value(entry->etag);
      if (!entry->expires.empty()) {
        json.key("metadata").begin_object().key("ttlExpireTime").value(entry->expires).end_object();
      }
    }
    json.end_object();
  }
  json.end_array();
  return json.take();
}

}  // namespace caisson::state
