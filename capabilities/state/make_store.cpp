#include "capabilities/state/make_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "capabilities/state/memory_store.hpp"
#include "capabilities/state/redis_store.hpp"
#include "capabilities/state/sqlite_store.hpp"
#include "capabilities/state/wall_time.hpp"

namespace caisson::state {

namespace {

using Opened = Result<std::unique_ptr<Store>>;
using OpenStore = Task<Opened> (*)(sdk::Context&, const sdk::ComponentSpec&, Deadline);

Task<Opened> open_memory(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline) {
  log(LogLevel::kWarning,
      fmt::format("component '{}': state.in-memory forgets everything when the process ends", spec.name));
  co_return std::unique_ptr<Store>(std::make_unique<MemoryStore>(context.loop(), system_wall_clock()));
}

Task<Opened> open_sqlite(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline) {
  if (spec.name.find('/') != std::string::npos)
    co_return Error{Errc::kInvalidArgument, "a component's name must not hold '/'"};
  const std::string default_path = fmt::format("{}/{}.db", context.data_dir(), spec.name);
  CO_ASSIGN(SqliteOptions options, parse_sqlite_options(spec.metadata, default_path));
  options.shared = !context.instance_number().is_alone();
  if (options.in_memory() && !context.instance_number().is_first()) {
    co_return Error{Errc::kInvalidArgument,
                    "a connectionString for memory must not come from a secret where the "
                    "capability has several instances"};
  }
  deadline = deadline.earlier(context.loop().deadline_in(options.timeout));

  SqliteStore::Hooks hooks;
  hooks.changed = [&context] { context.status_changed(); };
  const std::string labels = fmt::format("component=\"{}\"", spec.name);
  hooks.commits = context.counters().counter("state_commits_total", labels);
  hooks.committed_batches = context.counters().counter("state_committed_requests_total", labels);
  hooks.failed_commits = context.counters().counter("state_failed_commits_total", labels);
  auto task = SqliteStore::open(context.loop(), std::move(options), system_wall_clock(), std::move(hooks), deadline);
  co_return co_await std::move(task);
}

Task<Opened> open_redis(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline) {
  CO_ASSIGN(redis::Settings settings, redis::Settings::parse(spec.metadata));
  std::function<void()> changed = [&context] { context.status_changed(); };
  auto task = RedisStore::open(context.loop(), std::move(settings), std::move(changed), deadline);
  co_return co_await std::move(task);
}

struct StoreType {
  std::string_view name;
  bool exclusive;  // what it keeps is in one process
  OpenStore open;
};

/// Every type this capability knows. A new backend is a line here and its two files.
constexpr StoreType kStoreTypes[] = {
    {"state.sqlite", false, open_sqlite},
    {"state.sqlite3", false, open_sqlite},
    {"state.redis", false, open_redis},
    {"state.in-memory", true, open_memory},
};

/// What Dapr can do and this capability cannot (yet). Serving without it would be silent harm: values
/// stored in the clear, events that never come.
constexpr std::string_view kUnsupported[] = {"primaryEncryptionKey", "outboxPublishPubsub"};

const StoreType* find_type(std::string_view name) {
  for (const StoreType& type : kStoreTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

}  // namespace

Task<Result<std::shared_ptr<sdk::Component>>> make_store(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                         Deadline deadline) {
  const StoreType* const type = find_type(spec.type);
  if (type == nullptr)
    co_return Error{Errc::kInvalidArgument, fmt::format("there is no state store type '{}'", spec.type)};
  if (!spec.version.empty() && spec.version != "v0" && spec.version != "v1") {
    co_return Error{Errc::kInvalidArgument, fmt::format("{} has no version '{}'", spec.type, spec.version)};
  }
  for (const std::string_view key : kUnsupported) {
    if (!spec.metadata.get(key).empty()) {
      co_return Error{Errc::kUnimplemented, fmt::format("metadata '{}' is not supported", key)};
    }
  }
  const char* const app_namespace = std::getenv("NAMESPACE");
  CO_ASSIGN(sdk::KeyPrefix prefix, sdk::KeyPrefix::parse(spec.metadata, app_namespace == nullptr ? "" : app_namespace));
  CO_ASSIGN(const std::int64_t ttl, spec.metadata.get_int("ttlInSeconds", 0));

  auto task = type->open(context, spec, deadline);
  CO_ASSIGN(std::unique_ptr<Store> store, co_await std::move(task));
  std::shared_ptr<sdk::Component> component = std::make_shared<StateComponent>(
      std::move(store), std::move(prefix), std::clamp<std::int64_t>(ttl, 0, INT32_MAX));
  co_return component;
}

bool is_exclusive(const config::Component& component) {
  const StoreType* const known = find_type(component.type);
  if (known == nullptr) return false;
  if (known->exclusive || known->open != open_sqlite) return known->exclusive;
  std::vector<std::pair<std::string, std::string>> given;
  for (const config::MetadataItem& item : component.metadata) given.emplace_back(item.name, item.value);
  const auto options = parse_sqlite_options(sdk::Metadata(std::move(given)), component.name);
  return options && options->in_memory();
}

}  // namespace caisson::state
