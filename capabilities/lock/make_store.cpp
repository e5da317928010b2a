#include "capabilities/lock/make_store.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/lock/redis_store.hpp"
#include "capabilities/lock/service.hpp"
#include "capabilities/lock/sqlite_store.hpp"
#include "sdk/database_file.hpp"

namespace caisson::lock {

namespace {

using Opened = Result<std::unique_ptr<Store>>;
using OpenStore = Task<Opened> (*)(sdk::Context&, const sdk::ComponentSpec&, Deadline);

Task<Opened> open_sqlite(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline) {
  CO_ASSIGN(std::string path, sdk::database_path(context, spec));
  std::function<void()> changed = [&context] { context.status_changed(); };
  WallClock now = std::chrono::system_clock::now;
  auto task = SqliteStore::open(context.loop(), std::move(path), std::move(now), std::move(changed), deadline);
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
  bool exclusive;
  OpenStore open;
};

/// Every type this capability knows. A new backend is a line here and its two files.
constexpr StoreType kStoreTypes[] = {
    {"lock.sqlite", true, open_sqlite},
    {"lock.redis", false, open_redis},
};

const StoreType* find_type(std::string_view name) {
  const auto* const found = std::ranges::find(kStoreTypes, name, &StoreType::name);
  return found == std::end(kStoreTypes) ? nullptr : found;
}

}  // namespace

Task<Result<std::shared_ptr<sdk::Component>>> make_store(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                         Deadline deadline) {
  const StoreType* const type = find_type(spec.type);
  if (type == nullptr) {
    co_return Error{Errc::kInvalidArgument, fmt::format("there is no lock store type '{}'", spec.type)};
  }
  if (!spec.version.empty() && spec.version != "v0" && spec.version != "v1") {
    co_return Error{Errc::kInvalidArgument, fmt::format("{} has no version '{}'", spec.type, spec.version)};
  }
  CO_ASSIGN(sdk::KeyPrefix prefix, sdk::KeyPrefix::parse(spec.metadata, std::nullopt));
  auto task = type->open(context, spec, deadline);
  CO_ASSIGN(std::unique_ptr<Store> store, co_await std::move(task));
  std::shared_ptr<sdk::Component> component = std::make_shared<LockComponent>(std::move(store), std::move(prefix));
  co_return component;
}

bool is_exclusive(const config::Component& component) {
  const StoreType* const known = find_type(component.type);
  return known != nullptr && known->exclusive;
}

}  // namespace caisson::lock
