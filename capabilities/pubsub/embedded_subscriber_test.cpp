#include "capabilities/pubsub/testing/subscriber_fixture.hpp"

namespace caisson::pubsub::testing {
namespace {

using Items = std::vector<std::pair<std::string, std::string>>;

INSTANTIATE_TEST_SUITE_P(Embedded, SubscriberConformanceTest,
                         ::testing::Values(ComponentKind{"Memory", "pubsub.in-memory", [] { return Items{}; }, false},
                                           ComponentKind{"Sqlite", "pubsub.sqlite",
                                                         [] {
                                                           return Items{{"redeliverInterval", "20ms"}};
                                                         }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::pubsub::testing
