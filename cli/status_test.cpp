#include "cli/status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using testing::HasSubstr;

RuntimeStatus example() {
  RuntimeStatus status{100, "0.1.0", "/run/r", "/var/d", 9090, {}};
  status.processes.push_back({"gateway", 101, "running", 61'000, 0, ""});
  status.processes.push_back({"state", 0, "crash-looping", 1'500, 6, "signal 11 (Segmentation fault)"});
  return status;
}

constexpr const char* kGateway = R"({
  "apps":[{"id":"shop","httpPort":3500,"grpcPort":50001,"port":8080,"reachable":true,"healthy":true}],
  "capabilities":[{"name":"state","instances":[{"instance":"state","linked":true,"config":{"term":1,"sequence":4},
    "components":[{"name":"cart","type":"state.sqlite","state":"DOWN","reason":"disk full"}]}]}]})";

TEST(StatusTest, WhatIsWrittenReadsBackTheSame) {
  const auto again = parse_runtime_status(to_json(example()));

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, example());
}

TEST(StatusTest, ADocumentOfAnotherShapeIsRefusedByName) {
  for (const char* text : {"", "[]", "{}", R"({"pid":"x"})", R"({"pid":1})"}) {
    EXPECT_FALSE(parse_runtime_status(text)) << text;
  }
}

TEST(StatusTest, TheTableNamesEachProcessWithItsStateAndLastEnd) {
  const std::string text = render_status(example(), kGateway);

  EXPECT_THAT(text, HasSubstr("gateway  101  running        1m 1s  0"));
  EXPECT_THAT(text, HasSubstr("state    -    crash-looping  1s     6         signal 11 (Segmentation fault)"));
}

TEST(StatusTest, ComponentsAppsAndConfigurationAreShownAsTheGatewayKnowsThem) {
  const std::string text = render_status(example(), kGateway);

  EXPECT_THAT(text, HasSubstr("cart       state.sqlite  DOWN   state    disk full"));
  EXPECT_THAT(text, HasSubstr("shop  3500  50001  8080      healthy"));
  EXPECT_THAT(text, HasSubstr("state       state     up    1.4"));
}

TEST(StatusTest, WithoutTheGatewayTheProcessesAreStillShown) {
  const std::string text = render_status(example(), "");

  EXPECT_THAT(text, HasSubstr("running"));
  EXPECT_THAT(text, HasSubstr("The gateway does not answer"));
}

TEST(StatusTest, WithoutASupervisorTheGatewaysDocumentIsShown) {
  const std::string text = render_status(RuntimeStatus(), kGateway);

  EXPECT_THAT(text, HasSubstr("no caisson up"));
  EXPECT_THAT(text, testing::Not(HasSubstr("PROCESS  PID")));
  EXPECT_THAT(text, HasSubstr("state       state     up    1.4"));
}

TEST(StatusTest, TheJsonHoldsBothDocuments) {
  EXPECT_THAT(status_json(example(), R"({"a":1})"), testing::EndsWith(R"("gateway":{"a":1}})"));
  EXPECT_THAT(status_json(example(), "nonsense"), testing::EndsWith(R"("gateway":null})"));
}

TEST(StatusTest, DurationsAreShownInTheirTwoLargestUnits) {
  EXPECT_EQ(human_duration(850), "850 ms");
  EXPECT_EQ(human_duration(59'999), "59s");
  EXPECT_EQ(human_duration(192'000), "3m 12s");
  EXPECT_EQ(human_duration(3'600'000), "1h 0m");
  EXPECT_EQ(human_duration(90'000'000), "1d 1h");
}

}  // namespace
}  // namespace caisson::cli
