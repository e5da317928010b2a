#include "capabilities/pubsub/make_broker.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/pubsub/memory_broker.hpp"
#include "capabilities/pubsub/option_reading.hpp"
#include "capabilities/pubsub/redis_broker.hpp"
#include "capabilities/pubsub/sqlite_broker.hpp"
#include "sdk/database_file.hpp"

namespace caisson::pubsub {

namespace {

using Made = Result<std::shared_ptr<Broker>>;

Result<SqliteBroker::Options> read_options(const sdk::Context& context, const sdk::ComponentSpec& spec) {
  SqliteBroker::Options options;
  options.component = spec.name;
  ASSIGN(options.path, sdk::database_path(context, spec));
  ASSIGN(options.redeliver_interval, read_span(spec.metadata, "redeliverInterval", options.redeliver_interval));
  ASSIGN(const std::int64_t concurrency, read_count(spec.metadata, "concurrency", 10, 1));
  ASSIGN(const std::int64_t depth, read_count(spec.metadata, "queueDepth", 100, 1));
  ASSIGN(const std::int64_t length, read_count(spec.metadata, "maxLenApprox", 0, 0));
  ASSIGN(const Nanos retention, read_span(spec.metadata, "retention", Nanos::zero()));
  options.concurrency = static_cast<std::size_t>(std::min<std::int64_t>(concurrency, 1000));
  options.queue_depth = static_cast<std::size_t>(std::min<std::int64_t>(depth, 10'000));
  if (length > 0) options.limits.max_length = length;
  options.limits.retention = std::chrono::duration_cast<std::chrono::milliseconds>(retention);
  return options;
}

Task<Made> make_sqlite(sdk::Context& context, const sdk::ComponentSpec& spec, WallClock wall_clock, Deadline deadline) {
  CO_ASSIGN(SqliteBroker::Options options, read_options(context, spec));
  CO_ASSIGN(std::shared_ptr<Broker> broker,
            co_await SqliteBroker::open(context.loop(), std::move(options), std::move(wall_clock), deadline));
  co_return Made(std::move(broker));
}

Task<Made> make_redis(sdk::Context& context, const sdk::ComponentSpec& spec, WallClock wall_clock, Deadline deadline) {
  CO_ASSIGN(RedisBrokerOptions options, RedisBrokerOptions::parse(spec));
  const unsigned number = context.instance_number().number;
  const std::string owner = number == 1 ? spec.name : fmt::format("{}.{}", spec.name, number);
  ConsumerInstance instance = claim_consumer_instance(context.data_dir(), owner);
  std::function<void()> changed = [&context] { context.status_changed(); };
  auto opening = RedisBroker::open(context.loop(), std::move(options), std::move(instance), std::move(wall_clock),
                                   std::move(changed), deadline);
  CO_ASSIGN(std::shared_ptr<Broker> broker, co_await std::move(opening));
  co_return Made(std::move(broker));
}

}  // namespace

bool is_exclusive(const config::Component& component) {
  return component.type == "pubsub.sqlite" || component.type == "pubsub.in-memory";
}

Task<Made> make_broker(sdk::Context& context, const sdk::ComponentSpec& spec, WallClock wall_clock, Deadline deadline) {
  if (spec.type == "pubsub.sqlite") co_return co_await make_sqlite(context, spec, std::move(wall_clock), deadline);
  if (spec.type == "pubsub.redis") co_return co_await make_redis(context, spec, std::move(wall_clock), deadline);
  if (spec.type == "pubsub.in-memory") {
    std::shared_ptr<Broker> broker = std::make_shared<MemoryBroker>(context.loop(), spec.name);
    co_return Made(std::move(broker));
  }
  if (spec.type == "pubsub.kafka") {
    co_return Error{Errc::kInvalidArgument,
                    "pubsub.kafka is served by the program caisson-pubsub-kafka in the compartment pubsub.kafka; this "
                    "process runs caisson-pubsub"};
  }
  co_return Error{
      Errc::kInvalidArgument,
      fmt::format("unknown type '{}'; known are pubsub.sqlite, pubsub.redis and pubsub.in-memory", spec.type)};
}

}  // namespace caisson::pubsub
