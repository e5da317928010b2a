#include "capabilities/pubsub/memory_broker.hpp"
#include "capabilities/pubsub/sqlite_broker.hpp"
#include "capabilities/pubsub/testing/broker_conformance.hpp"

namespace caisson::pubsub::testing {
namespace {

std::shared_ptr<Broker> open_memory(EventLoop& loop, const std::string&) {
  return std::make_shared<MemoryBroker>(loop, "pubsub");
}

std::shared_ptr<Broker> open_sqlite(EventLoop& loop, const std::string& directory) {
  SqliteBroker::Options options;
  options.component = "pubsub";
  options.path = directory + "/pubsub.db";
  options.redeliver_interval = kRedeliverInterval;
  options.concurrency = kConcurrency;
  auto broker =
      caisson::testing::run(loop, SqliteBroker::open(loop, options, std::chrono::system_clock::now, Deadline::never()));
  EXPECT_TRUE(broker) << (broker ? "" : broker.error().message);
  return broker ? *broker : nullptr;
}

INSTANTIATE_TEST_SUITE_P(Backends, BrokerConformanceTest,
                         ::testing::Values(Backend{"Memory", open_memory}, Backend{"Sqlite", open_sqlite}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
