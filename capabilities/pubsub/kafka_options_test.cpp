#include "capabilities/pubsub/kafka_options.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using namespace std::chrono_literals;
using Items = std::vector<std::pair<std::string, std::string>>;

constexpr auto kCertificate = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----";

Result<KafkaOptions> parse(Items items) {
  sdk::ComponentSpec spec;
  spec.name = "pubsub";
  spec.type = "pubsub.kafka";
  spec.metadata = sdk::Metadata(std::move(items));
  return KafkaOptions::parse(spec);
}

Result<KafkaOptions> parse_with(Items more) {
  Items items{{"brokers", "a:1,b:2"}, {"authType", "none"}};
  items.insert(items.end(), more.begin(), more.end());
  return parse(std::move(items));
}

std::string value_of(const KafkaOptions::Settings& settings, std::string_view name) {
  for (const auto& setting : settings) {
    if (setting.name == name) return setting.value;
  }
  return "(none)";
}

TEST(KafkaOptionsTest, TheLeastThatIsNeededGivesDaprsDefaults) {
  const auto options = parse_with({});

  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(value_of(options->client, "bootstrap.servers"), "a:1,b:2");
  EXPECT_EQ(value_of(options->client, "security.protocol"), "plaintext");
  EXPECT_EQ(value_of(options->producer, "enable.idempotence"), "true");
  EXPECT_EQ(value_of(options->producer, "partitioner"), "fnv1a_random");
  EXPECT_EQ(value_of(options->consumer, "session.timeout.ms"), "10000");
  EXPECT_EQ(value_of(options->consumer, "partition.assignment.strategy"), "range");
  EXPECT_FALSE(options->from_oldest);
  EXPECT_TRUE(options->in_order);
  EXPECT_EQ(options->backoff.pause_after(1), 5s);
  EXPECT_TRUE(options->without_effect.empty());
}

TEST(KafkaOptionsTest, WhatIsMissingOrWrongIsNamed) {
  const std::vector<std::pair<std::string, Items>> cases = {
      {"'brokers'", {{"authType", "none"}}},
      {"'authType'", {{"brokers", "a:1"}}},
      {"'authType'", {{"brokers", "a:1"}, {"authType", "magic"}}},
      {"'saslPassword'", {{"brokers", "a:1"}, {"authType", "password"}, {"saslUsername", "u"}}},
      {"'saslMechanism'",
       {{"brokers", "a:1"},
        {"authType", "password"},
        {"saslUsername", "u"},
        {"saslPassword", "p"},
        {"saslMechanism", "md5"}}},
      {"'caCert'", {{"brokers", "a:1"}, {"authType", "certificate"}}},
      {"'caCert'", {{"brokers", "a:1"}, {"authType", "mtls"}, {"caCert", "no certificate"}}},
      {"'clientKey'", {{"brokers", "a:1"}, {"authType", "mtls"}, {"clientCert", kCertificate}}},
      {"'initialOffset'", {{"brokers", "a:1"}, {"authType", "none"}, {"initialOffset", "middle"}}},
      {"'compression'", {{"brokers", "a:1"}, {"authType", "none"}, {"compression", "zip"}}},
      {"'heartbeatInterval'", {{"brokers", "a:1"}, {"authType", "none"}, {"heartbeatInterval", "10s"}}},
      {"'sessionTimeout'", {{"brokers", "a:1"}, {"authType", "none"}, {"sessionTimeout", "soon"}}},
      {"'maxMessageBytes'", {{"brokers", "a:1"}, {"authType", "none"}, {"maxMessageBytes", "1"}}},
      {"'consumerGroupRebalanceStrategy'",
       {{"brokers", "a:1"}, {"authType", "none"}, {"consumerGroupRebalanceStrategy", "fair"}}},
      {"'excludeHeaderMetaRegex'", {{"brokers", "a:1"}, {"authType", "none"}, {"excludeHeaderMetaRegex", "("}}},
      {"'concurrency'", {{"brokers", "a:1"}, {"authType", "none"}, {"concurrency", "0"}}},
      {"'backOffDuration'", {{"brokers", "a:1"}, {"authType", "none"}, {"backOffDuration", "0"}}},
      {"'backOffMultiplier'", {{"brokers", "a:1"}, {"authType", "none"}, {"backOffMultiplier", "nan"}}},
  };

  for (const auto& [named, items] : cases) {
    const auto refused = parse(items);
    ASSERT_FALSE(refused) << named;
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument) << named;
    EXPECT_NE(refused.error().message.find(named), std::string::npos) << refused.error().message;
  }
}

TEST(KafkaOptionsTest, WhatIsNotServedSaysSo) {
  for (const Items& items :
       {Items{{"brokers", "a:1"}, {"authType", "oidc"}}, Items{{"brokers", "a:1"}, {"authType", "awsiam"}},
        Items{{"brokers", "a:1"}, {"authType", "none"}, {"schemaRegistryURL", "http://r"}}}) {
    const auto refused = parse(items);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kUnimplemented);
  }
}

TEST(KafkaOptionsTest, APasswordGoesOverTlsUnlessThatIsDisabled) {
  const Items items{{"brokers", "a:1"},
                    {"authType", "password"},
                    {"saslUsername", "u"},
                    {"saslPassword", "p123"},
                    {"saslMechanism", "SHA-512"}};
  Items plain = items;
  plain.emplace_back("disableTls", "true");

  const auto over_tls = parse(items);
  const auto without = parse(plain);

  ASSERT_TRUE(over_tls && without);
  EXPECT_EQ(value_of(over_tls->client, "security.protocol"), "sasl_ssl");
  EXPECT_EQ(value_of(over_tls->client, "sasl.mechanisms"), "SCRAM-SHA-512");
  EXPECT_EQ(value_of(over_tls->client, "ssl.endpoint.identification.algorithm"), "https");
  EXPECT_EQ(value_of(without->client, "security.protocol"), "sasl_plaintext");
}

TEST(KafkaOptionsTest, NoSecretStandsInAnError) {
  const auto refused =
      parse({{"brokers", "a:1"}, {"authType", "mtls"}, {"clientCert", kCertificate}, {"clientKey", "canary-7c1"}});

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("canary"), std::string::npos) << refused.error().message;
}

TEST(KafkaOptionsTest, TheOldAuthRequiredStillCounts) {
  const auto none = parse({{"brokers", "a:1"}, {"authRequired", "false"}});
  const auto password =
      parse({{"brokers", "a:1"}, {"authRequired", "true"}, {"saslUsername", "u"}, {"saslPassword", "p"}});

  ASSERT_TRUE(none && password);
  EXPECT_EQ(value_of(none->client, "security.protocol"), "plaintext");
  EXPECT_EQ(value_of(password->client, "sasl.mechanisms"), "PLAIN");
}

TEST(KafkaOptionsTest, KeysWithoutACounterpartAreAcceptedAndListed) {
  const auto options = parse_with({{"version", "2.0.0"}, {"PRODUCERRETRYMAX", "5"}});

  ASSERT_TRUE(options);
  EXPECT_EQ(options->without_effect, (std::vector<std::string>{"version", "producerRetryMax"}));
}

TEST(KafkaOptionsTest, RetriesBesideOthersAndConcurrencyGiveUpTheOrder) {
  const auto beside = parse_with({{"consumeRetryEnabled", "false"}});
  const auto concurrent = parse_with({{"concurrency", "4"}});

  ASSERT_TRUE(beside && concurrent);
  EXPECT_FALSE(beside->in_order);
  EXPECT_FALSE(concurrent->in_order);
  EXPECT_EQ(concurrent->concurrency, 4U);
}

TEST(KafkaOptionsTest, AnExponentialBackOffGrowsToItsLongest) {
  const auto options = parse_with({{"backOffPolicy", "exponential"},
                                   {"backOffInitialInterval", "100ms"},
                                   {"backOffMaxInterval", "1s"},
                                   {"backOffMultiplier", "2"}});

  ASSERT_TRUE(options);
  EXPECT_EQ(options->backoff.pause_after(1), 100ms);
  EXPECT_EQ(options->backoff.pause_after(3), 400ms);
  EXPECT_EQ(options->backoff.pause_after(5), 1s);
  EXPECT_EQ(options->backoff.pause_after(4'000'000'000U), 1s);
}

}  // namespace
}  // namespace caisson::pubsub
