#include "sdk/redis/settings.hpp"

#include <gtest/gtest.h>

namespace caisson::redis {
namespace {

using namespace std::chrono_literals;
using Items = std::vector<std::pair<std::string, std::string>>;

Result<Settings> parse(Items items) { return Settings::parse(sdk::Metadata(std::move(items))); }

/// The message of the refusal, which has to name what is wrong.
std::string refusal(Items items) {
  const auto settings = parse(std::move(items));
  return settings ? "(accepted)" : settings.error().message;
}

TEST(RedisSettingsTest, AHostAloneIsEnough) {
  const auto settings = parse({{"redisHost", "redis.example"}});

  ASSERT_TRUE(settings);
  ASSERT_EQ(settings->addresses.size(), 1U);
  EXPECT_EQ(settings->addresses[0].host, "redis.example");
  EXPECT_EQ(settings->addresses[0].port, 6379);
  EXPECT_EQ(settings->database, 0U);
  EXPECT_FALSE(settings->tls);
  EXPECT_EQ(settings->read_timeout, 3s);
}

TEST(RedisSettingsTest, HostsAreReadInEveryForm) {
  const std::vector<std::tuple<Items, std::string, int>> cases = {
      {{{"redisHost", "redis:7000"}}, "redis", 7000},
      {{{"redisHost", " redis:7000 "}}, "redis", 7000},
      {{{"redisHost", "redis"}, {"redisPort", "7000"}}, "redis", 7000},
      {{{"redisHost", "redis:7000"}, {"redisPort", "7000"}}, "redis", 7000},
      {{{"redisHost", "[::1]:7000"}}, "::1", 7000},
      {{{"redisHost", "::1"}}, "::1", 6379},
      {{{"REDISHOST", "127.0.0.1:1"}}, "127.0.0.1", 1},
  };
  for (const auto& [items, host, port] : cases) {
    const auto settings = parse(items);

    ASSERT_TRUE(settings) << settings.error().message;
    EXPECT_EQ(settings->addresses.at(0).host, host);
    EXPECT_EQ(settings->addresses.at(0).port, port);
  }
}

TEST(RedisSettingsTest, WhatIsWrongIsNamed) {
  const std::vector<std::pair<Items, std::string>> cases = {
      {{}, "redisHost"},
      {{{"redisHost", ""}}, "redisHost"},
      {{{"redisHost", ":6379"}}, "redisHost"},
      {{{"redisHost", "a:0"}}, "redisHost"},
      {{{"redisHost", "a:70000"}}, "redisHost"},
      {{{"redisHost", "a:b"}}, "redisHost"},
      {{{"redisHost", "[::1"}}, "redisHost"},
      {{{"redisHost", "[::1]x"}}, "redisHost"},
      {{{"redisHost", "a,b"}}, "redisHost"},
      {{{"redisHost", "a:1"}, {"redisPort", "2"}}, "redisPort"},
      {{{"redisHost", "a"}, {"redisPort", "x"}}, "redisPort"},
      {{{"redisHost", "a"}, {"redisDB", "-1"}}, "redisDB"},
      {{{"redisHost", "a"}, {"redisDB", "one"}}, "redisDB"},
      {{{"redisHost", "a"}, {"readTimeout", "soon"}}, "readTimeout"},
      {{{"redisHost", "a"}, {"dialTimeout", "5 s"}}, "dialTimeout"},
      {{{"redisHost", "a"}, {"redisType", "ring"}}, "redisType"},
      {{{"redisHost", "a"}, {"redisType", "cluster"}}, "redisType"},
      {{{"redisHost", "a"}, {"useEntraID", "true"}}, "useEntraID"},
      {{{"redisHost", "a"}, {"failover", "true"}}, "sentinelMasterName"},
      {{{"redisHost", "a"}, {"enableTLS", "true"}, {"clientCert", "/no/such/file"}, {"clientKey", "x"}}, "clientCert"},
      {{{"redisHost", "a"}, {"enableTLS", "true"}, {"clientCert", "/no/such/file"}}, "clientCert"},
      {{{"redisHost", "a"}, {"enableTLS", "true"}, {"clientKey", "/no/such/file"}}, "clientKey"},
      {{{"redisHost", "a"},
        {"enableTLS", "true"},
        {"clientCert", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----"},
        {"clientKey", "x"}},
       "clientCert"},
  };
  for (const auto& [items, key] : cases) {
    const std::string message = refusal(items);
    EXPECT_NE(message.find("'" + key + "'"), std::string::npos) << "expected " << key << ": " << message;
  }
}

TEST(RedisSettingsTest, AllKeysAreRead) {
  const auto settings = parse({{"redisHost", "a:1,b:2"},
                               {"failover", "true"},
                               {"sentinelMasterName", "main"},
                               {"redisUsername", "app"},
                               {"redisPassword", "p"},
                               {"sentinelUsername", "s"},
                               {"sentinelPassword", "q"},
                               {"redisDB", "2"},
                               {"enableTLS", "true"},
                               {"insecureSkipTLSVerify", "true"},
                               {"dialTimeout", "2s"},
                               {"readTimeout", "500"},
                               {"redisMinRetryInterval", "20ms"},
                               {"redisMaxRetryInterval", "10ms"},
                               {"poolSize", "10"}});

  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->addresses.size(), 2U);
  EXPECT_EQ(settings->sentinel_master, "main");
  EXPECT_EQ(settings->username + settings->password, "appp");
  EXPECT_EQ(settings->sentinel_username + settings->sentinel_password, "sq");
  EXPECT_EQ(settings->database, 2U);
  EXPECT_TRUE(settings->tls);
  EXPECT_FALSE(settings->tls_options.verify);
  EXPECT_EQ(settings->dial_timeout, 2s);
  EXPECT_EQ(settings->read_timeout, 500ms);
  EXPECT_EQ(settings->min_retry_interval, 20ms);
  EXPECT_EQ(settings->max_retry_interval, 20ms) << "never less than the least";
}

TEST(RedisSettingsTest, ZeroIsTheDefaultAndNegativeIsNoLimit) {
  const auto settings = parse({{"redisHost", "a"}, {"readTimeout", "-1"}, {"dialTimeout", "0"}});

  ASSERT_TRUE(settings);
  EXPECT_GE(settings->read_timeout, 1h);
  EXPECT_EQ(settings->dial_timeout, 5s);
}

}  // namespace
}  // namespace caisson::redis
