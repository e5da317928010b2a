#include "cli/gateways.hpp"

#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

TEST(GatewaysTest, ASmallMachineHasOneAndALargeOneAtMostEight) {
  EXPECT_EQ(gateways_for(0), 1u);
  EXPECT_EQ(gateways_for(1), 1u);
  EXPECT_EQ(gateways_for(7), 1u);
  EXPECT_EQ(gateways_for(8), 2u);
  EXPECT_EQ(gateways_for(31), 7u);
  EXPECT_EQ(gateways_for(256), 8u);
  EXPECT_GE(usable_cpus(), 1u);
}

TEST(GatewaysTest, TheFirstIsCalledAndLiesAsASingleOne) {
  EXPECT_EQ(gateway_name(1), "gateway");
  EXPECT_EQ(gateway_run_dir("/run/r", 1), "/run/r");
  EXPECT_EQ(gateway_name(3), "gateway-3");
  EXPECT_EQ(gateway_run_dir("/run/r", 3), "/run/r/gateways/3");
}

TEST(GatewaysTest, OnlyAGatewaysNameHasANumber) {
  EXPECT_EQ(gateway_number("gateway"), 1u);
  EXPECT_EQ(gateway_number("gateway-16"), 16u);
  for (const char* name : {"", "gateway-", "gateway-0", "gateway-1", "gateway-17", "gateway-x", "state"}) {
    EXPECT_EQ(gateway_number(name), 0u) << name;
  }
}

}  // namespace
}  // namespace caisson::cli
