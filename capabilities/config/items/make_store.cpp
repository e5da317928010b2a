#include "capabilities/config/items/make_store.hpp"

#include <fmt/format.h>

#include "capabilities/config/items/local_file_store.hpp"
#include "capabilities/config/items/redis_store.hpp"

namespace caisson::items {

namespace {

using Made = Result<std::shared_ptr<sdk::Component>>;

constexpr Nanos kLeastPollInterval = std::chrono::milliseconds(10);
constexpr Nanos kMostPollInterval = std::chrono::hours(1);

Task<Made> make_local_file(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline) {
  LocalFileStore::Options options;
  options.file = spec.metadata.get("file");
  if (options.file.empty()) co_return Error{Errc::kInvalidArgument, "metadata 'file' is missing"};
  if (!context.data_dir().empty()) options.last_good = fmt::format("{}/{}.items", context.data_dir(), spec.name);
  CO_ASSIGN(auto store, LocalFileStore::open(context.loop(), std::move(options)));
  store->noted = [&context] { context.status_changed(); };
  co_return std::shared_ptr<sdk::Component>(std::move(store));
}

Task<Made> make_redis(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline) {
  RedisStore::Options options;
  CO_ASSIGN(options.settings, redis::Settings::parse(spec.metadata));
  CO_ASSIGN(options.poll_interval, spec.metadata.get_duration("pollInterval", options.poll_interval));
  if (options.poll_interval < kLeastPollInterval || options.poll_interval > kMostPollInterval) {
    co_return Error{Errc::kInvalidArgument, "metadata 'pollInterval' is not between 10ms and 1h"};
  }
  auto store =
      std::make_shared<RedisStore>(context.loop(), std::move(options), [&context] { context.status_changed(); });
  auto waiting = store->ready(deadline);
  CO_TRY(co_await std::move(waiting));
  co_return std::shared_ptr<sdk::Component>(std::move(store));
}

struct Backend {
  std::string_view type;
  Task<Made> (*make)(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline);
};

constexpr Backend kBackends[] = {
    {"configuration.local.file", make_local_file},
    {"configuration.redis", make_redis},
};

}  // namespace

Task<Made> make_store(sdk::Context& context, const sdk::ComponentSpec& spec, Deadline deadline) {
  const bool first_version = spec.version.empty() || spec.version == "v0" || spec.version == "v1";
  for (const Backend& backend : kBackends) {
    if (backend.type != spec.type || !first_version) continue;
    auto task = backend.make(context, spec, deadline);
    co_return co_await std::move(task);
  }
  co_return Error{Errc::kInvalidArgument,
                  fmt::format("there is no configuration store of type {}/{}", spec.type, spec.version)};
}

}  // namespace caisson::items
