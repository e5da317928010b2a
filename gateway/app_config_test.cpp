#include "gateway/app_config.hpp"

#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

TEST(AppConfigTest, WhatIsWrittenIsReadBackAlike) {
  AppConfig shop;
  shop.id = "shop";
  shop.http_port = 0;
  shop.listen_addresses = {"127.0.0.1", "::1"};
  shop.unix_socket_dir = "/run/shop";
  shop.api_token = "a \"quoted\" token";
  shop.app_port = 8080;
  shop.app_max_concurrency = 3;
  shop.app_token = "app token";
  shop.health_check = true;
  shop.health_interval = std::chrono::milliseconds(700);
  shop.disabled_queries = {"/one"};
  AppConfig plain;
  plain.id = "plain";

  const auto apps = parse_apps(to_json({shop, plain}));

  ASSERT_TRUE(apps) << apps.error().message;
  EXPECT_EQ(*apps, (std::vector<AppConfig>{shop, plain}));
}

TEST(AppConfigTest, AbsentMembersKeepTheirDefaults) {
  const auto apps = parse_apps(R"([{"id":"shop"}])");

  ASSERT_TRUE(apps) << apps.error().message;
  AppConfig expected;
  expected.id = "shop";
  EXPECT_EQ(*apps, std::vector<AppConfig>{expected});
}

struct Refused {
  const char* json;
  const char* named;
};
class AppConfigRefusesTest : public testing::TestWithParam<Refused> {};

TEST_P(AppConfigRefusesTest, NamesAppAndMember) {
  const auto apps = parse_apps(GetParam().json);

  ASSERT_FALSE(apps);
  EXPECT_EQ(apps.error().code, Errc::kInvalidArgument);
  EXPECT_NE(apps.error().message.find(GetParam().named), std::string::npos) << apps.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, AppConfigRefusesTest,
    testing::Values(Refused{"{}", "not a JSON array"}, Refused{"[1]", "entry 0 is not an object"},
                    Refused{"[{}]", "id is missing"}, Refused{R"([{"id":"a/b"}])", "app 'a/b': id"},
                    Refused{R"([{"id":"a"},{"id":"a"}])", "app 'a': id is used twice"},
                    Refused{R"([{"id":"a","httpPort":65536}])", "app 'a': httpPort"},
                    Refused{R"([{"id":"a","httpPort":-1}])", "app 'a': httpPort is not"},
                    Refused{R"([{"id":"a","apiToken":7}])", "app 'a': apiToken"},
                    Refused{R"([{"id":"a","healthCheck":"yes"}])", "app 'a': healthCheck"},
                    Refused{R"([{"id":"a","listenAddresses":"x"}])", "app 'a': listenAddresses"},
                    Refused{R"([{"id":"a","healthInterval":0}])", "app 'a': healthInterval"},
                    Refused{R"([{"id":"a","healthThreshold":0}])", "app 'a': healthThreshold"},
                    Refused{R"([{"id":"a","healthPath":"x"}])", "app 'a': healthPath"},
                    Refused{R"([{"id":"a","healthCheck":true,"healthTimeout":6000}])", "app 'a': healthTimeout"},
                    Refused{R"([{"id":"a","htpPort":1}])", "app 'a': htpPort is not a known member"}));

}  // namespace
}  // namespace caisson::gateway
