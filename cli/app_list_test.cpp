#include "cli/app_list.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using testing::HasSubstr;

TEST(AppListTest, AYamlListBecomesAppsWithDefaultsAndSystemChosenPorts) {
  const auto apps = parse_apps_file(
      "- id: shop\n  appPort: 8080\n  healthCheck: true\n- id: cart\n  httpPort: 3601\n"
      "  disabledQueries: [config]\n");

  ASSERT_TRUE(apps) << apps.error().message;
  ASSERT_EQ(apps->size(), 2U);
  EXPECT_EQ((*apps)[0].id, "shop");
  EXPECT_EQ((*apps)[0].app_port, 8080);
  EXPECT_EQ((*apps)[0].http_port, 0);
  EXPECT_TRUE((*apps)[0].health_check);
  EXPECT_EQ((*apps)[0].max_body_size, 4 * 1024 * 1024);
  EXPECT_EQ((*apps)[1].http_port, 3601);
  EXPECT_EQ((*apps)[1].disabled_queries, std::vector<std::string>{"config"});
}

TEST(AppListTest, WhatIsWrittenAsJsonReadsBackTheSame) {
  App app;
  app.id = "a \"quoted\" app";
  app.listen_addresses = {"127.0.0.1", "::1"};
  app.app_token = "t";
  app.health_interval_ms = 1500;

  const auto again = parse_apps_file(apps_to_json({app}));

  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, std::vector<App>{app});
}

TEST(AppListTest, NoLimitIsWrittenAsTheLargestNumberOfBytes) {
  App app;
  app.max_body_size = -1;

  EXPECT_THAT(apps_to_json({app}), HasSubstr("\"maxBodySize\":9223372036854775807,"));
}

TEST(AppListTest, AnEmptyFileIsNoApps) {
  const auto apps = parse_apps_file("");

  ASSERT_TRUE(apps);
  EXPECT_TRUE(apps->empty());
}

TEST(AppListTest, InitEndpointsThatAreDisabledBecomeThePathsTheGatewayAsks) {
  App app;
  app.disabled_queries = {"config", "subscribe", "/own"};

  const std::string json = apps_to_json({app});

  EXPECT_THAT(json, HasSubstr(R"("disabledQueries":["/dapr/config","/dapr/subscribe",)"
                              R"("/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions","/own"])"));
}

TEST(AppListTest, AnErrorNamesLineAndMember) {
  const auto unknown = parse_apps_file("- id: shop\n  colour: red\n");
  const auto mistyped = parse_apps_file("- id: shop\n  appPort: many\n");
  const auto too_large = parse_apps_file("- id: shop\n  appPort: 70000\n");
  const auto broken = parse_apps_file("- id: [shop\n");

  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "line 2: an app has no member colour");
  ASSERT_FALSE(mistyped);
  EXPECT_EQ(mistyped.error().message, "line 2: appPort is of the wrong type or out of range");
  EXPECT_FALSE(too_large);
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("line "));
}

TEST(AppListTest, AnythingButAListOfMappingsWithIdsIsRefused) {
  EXPECT_FALSE(parse_apps_file("id: shop"));
  EXPECT_FALSE(parse_apps_file("- shop"));
  EXPECT_FALSE(parse_apps_file("- appPort: 80"));
}

TEST(AppListTest, TwoAppsOfOneIdOrOnePortAreRefused) {
  const auto same_id = parse_apps_file("- id: a\n- id: a\n");
  const auto same_port = parse_apps_file("- {id: a, httpPort: 3500}\n- {id: b, grpcPort: 3500}\n");
  const auto own_port = parse_apps_file("- {id: a, httpPort: 3500, appPort: 3500}\n");

  ASSERT_FALSE(same_id);
  EXPECT_EQ(same_id.error().message, "app a is listed twice");
  ASSERT_FALSE(same_port);
  EXPECT_EQ(same_port.error().message, "port 3500 is given to app a and to app b");
  ASSERT_FALSE(own_port);
  EXPECT_THAT(own_port.error().message, HasSubstr("must differ"));
}

}  // namespace
}  // namespace caisson::cli
