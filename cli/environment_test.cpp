#include "cli/environment.hpp"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

const Environment kAll = {{"PATH", "/bin"},         {"HOME", "/root"},         {"NAMESPACE", "shop"},
                          {"DAPR_API_TOKEN", "in"}, {"APP_API_TOKEN", "out"},  {"REDIS_PASSWORD", "p"},
                          {"SAMPLING", "1"},        {"DAPR_HTTP_PORT", "3500"}};

TEST(EnvironmentTest, OnlyTheGatewayIsGivenTheTokens) {
  const Environment gateway = environment_for("gateway", kAll, {});
  EXPECT_EQ(gateway, (Environment{{"PATH", "/bin"},
                                  {"HOME", "/root"},
                                  {"NAMESPACE", "shop"},
                                  {"DAPR_API_TOKEN", "in"},
                                  {"APP_API_TOKEN", "out"}}));

  for (const char* process : {"state", "pubsub", "config", "invoke", "secrets", "lock", "anything"}) {
    const Environment other = environment_for(process, kAll, {"DAPR_API_TOKEN", "APP_API_TOKEN"});
    EXPECT_FALSE(other.contains("DAPR_API_TOKEN")) << process;
    EXPECT_FALSE(other.contains("APP_API_TOKEN")) << process;
    EXPECT_FALSE(other.contains("DAPR_HTTP_PORT")) << process;
  }
}

TEST(EnvironmentTest, ProcessesThatOpenComponentsAreGivenWhatComponentsMayReferTo) {
  for (const char* process : {"state", "pubsub", "secrets", "lock"}) {
    EXPECT_TRUE(environment_for(process, kAll, {}).contains("REDIS_PASSWORD")) << process;
  }
}

TEST(EnvironmentTest, GatewayAndInvokeAreGivenNoVariableOfAComponent) {
  EXPECT_FALSE(environment_for("gateway", kAll, {}).contains("REDIS_PASSWORD"));
  EXPECT_FALSE(environment_for("invoke", kAll, {}).contains("REDIS_PASSWORD"));
}

TEST(EnvironmentTest, ConfigIsGivenWhatTheConfigurationFilesName) {
  const Environment config = environment_for("config", kAll, {"SAMPLING"});

  EXPECT_TRUE(config.contains("SAMPLING"));
  EXPECT_FALSE(config.contains("REDIS_PASSWORD"));
}

TEST(EnvironmentTest, VariablesAreFoundInBothSpellings) {
  const auto names = referenced_variables("rate: $RATE, host: ${HOST_1}/x, price: 5$ ${} $9 $");

  EXPECT_EQ(names, (std::set<std::string>{"RATE", "HOST_1"}));
}

}  // namespace
}  // namespace caisson::cli
