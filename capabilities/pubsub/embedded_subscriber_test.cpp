#include "capabilities/pubsub/testing/subscriber_fixture.hpp"

namespace caisson::pubsub::testing {
namespace {

using Items = std::vector<std::pair<std::string, std::string>>;

const ComponentKind kMemory{"Memory", "pubsub.in-memory", [] { return Items{}; }, false};
const ComponentKind kSqlite{"Sqlite", "pubsub.sqlite", [] { return Items{{"redeliverInterval", "20ms"}}; }};

INSTANTIATE_TEST_SUITE_P(Embedded, SubscriberConformanceTest, ::testing::Values(kMemory, kSqlite),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Embedded, RedeliveryConformanceTest, ::testing::Values(kSqlite),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
