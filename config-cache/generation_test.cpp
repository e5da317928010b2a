#include "config-cache/generation.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "config-cache/snapshot_header.hpp"
#include "config-cache/testing/sample.hpp"

namespace caisson::config {
namespace {

TEST(GenerationTest, EveryFieldComesBackAsItWasWritten) {
  const Generation written = testing::sample_generation(7, 12);

  const auto read = decode(encode(written));

  ASSERT_TRUE(read) << read.error().message;
  // Equal structs give equal bytes, so this compares every field that is written …
  EXPECT_EQ(encode(*read), encode(written));
  // … and these would stay empty if a field were not written at all.
  EXPECT_EQ(read->term, 7U);
  EXPECT_EQ(read->sequence, 12U);
  EXPECT_EQ(read->audience, "state");
  const Component& component = read->components.at(0);
  EXPECT_EQ(component.name, "cart");
  EXPECT_EQ(component.type, "state.redis");
  EXPECT_EQ(component.version, "v1");
  EXPECT_EQ(component.secret_store, "vault");
  EXPECT_TRUE(component.ignore_errors);
  EXPECT_EQ(component.init_timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(component.scopes, (std::vector<std::string>{"shop", "till"}));
  EXPECT_EQ(component.compartment, "fast");
  EXPECT_EQ(component.origin.file, "/r/cart.yaml");
  EXPECT_EQ(component.origin.line, 3U);
  EXPECT_EQ(component.metadata.at(0).value, std::string("a\0b", 3));
  EXPECT_EQ(component.metadata.at(1).secret_name, "redis");
  EXPECT_EQ(component.metadata.at(1).secret_key, "password");
  EXPECT_EQ(component.metadata.at(2).env, "REDIS_HOST");
  const Subscription& subscription = read->subscriptions.at(0);
  EXPECT_EQ(subscription.rules.at(0).match, "event.type == \"big\"");
  EXPECT_EQ(subscription.rules.at(0).path, "/big");
  EXPECT_EQ(subscription.default_path, "/orders");
  EXPECT_EQ(subscription.dead_letter_topic, "dead");
  EXPECT_EQ(subscription.metadata.at("rawPayload"), "true");
  EXPECT_TRUE(subscription.bulk);
  EXPECT_EQ(subscription.bulk_max_messages, 50U);
  EXPECT_EQ(subscription.bulk_max_await, std::chrono::seconds(2));
  const Resiliency& resiliency = read->resiliencies.at(0);
  EXPECT_EQ(resiliency.timeouts.at("short"), std::chrono::milliseconds(300));
  EXPECT_EQ(resiliency.retries.at("often").max_retries, 9);
  EXPECT_EQ(resiliency.retries.at("often").http_codes, "429,500-599");
  EXPECT_EQ(resiliency.circuit_breakers.at("fuse").trip, "consecutiveFailures > 2");
  EXPECT_EQ(resiliency.apps.at("till").circuit_breaker_cache_size, 7U);
  EXPECT_EQ(resiliency.component_inbound.at("orders").retry, "often");
  EXPECT_EQ(resiliency.component_outbound.at("cart").timeout, "short");
  const HttpEndpoint& endpoint = read->http_endpoints.at(0);
  EXPECT_EQ(endpoint.base_url, "https://example.org");
  EXPECT_EQ(endpoint.client_tls.at(0).secret_name, "ca");
  EXPECT_EQ(endpoint.renegotiation, "Never");
  const Configuration& configuration = read->configuration;
  EXPECT_EQ(configuration.sampling_rate, 0.25);
  EXPECT_EQ(configuration.secret_scopes.at(0).denied, std::vector<std::string>{"root"});
  EXPECT_FALSE(configuration.secret_scopes.at(0).allow_by_default);
  EXPECT_EQ(configuration.api_allowed.at(0).protocol, "http");
  EXPECT_EQ(configuration.api_denied.at(0).name, "invoke");
  EXPECT_EQ(configuration.denied_component_types, std::vector<std::string>{"bindings.smtp"});
  EXPECT_EQ(configuration.access_policies.at(0).operations.at(0).verbs, (std::vector<std::string>{"GET", "PUT"}));
  EXPECT_TRUE(configuration.access_policies.at(0).operations.at(0).allow);
  EXPECT_TRUE(configuration.features.at("HotReload"));
  EXPECT_EQ(read->elsewhere, (std::vector<Elsewhere>{{"events", "kafka"}}));
}

TEST(GenerationTest, AnEmptyGenerationIsAGeneration) {
  const auto read = decode(encode(Generation{}));

  ASSERT_TRUE(read);
  EXPECT_TRUE(read->components.empty());
  EXPECT_EQ(read->configuration.sampling_rate, Configuration{}.sampling_rate);
}

TEST(GenerationTest, DamageToAnyOneBitIsSeen) {
  const std::string good = encode(testing::sample_generation(1, 1));

  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      EXPECT_FALSE(decode(bad)) << "byte " << at;
    }
  }
}

TEST(GenerationTest, ASnapshotCutShortAnywhereIsRefused) {
  const std::string good = encode(testing::sample_generation(1, 1));

  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(good).substr(0, size))) << size;
  }
  EXPECT_FALSE(decode(good + "x"));
}

TEST(GenerationTest, DamageAndStrangeBytesAreDifferentErrors) {
  const std::string good = encode(testing::sample_generation(1, 1));
  std::string damaged = good;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  std::string newer = good;
  newer[4] = 2;

  EXPECT_EQ(decode(damaged).error().code, Errc::kDataLoss);
  EXPECT_EQ(decode(newer).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(decode("hello").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(decode(seal("whole, but no FlatBuffer")).error().code, Errc::kInvalidArgument);
}

TEST(GenerationTest, AnUnalignedSnapshotIsReadAsWell) {
  const std::string shifted = "x" + encode(testing::sample_generation(1, 1));

  EXPECT_TRUE(decode(std::string_view(shifted).substr(1)));
}

TEST(GenerationTest, ValuesThatMakeNoSenseAreRefused) {
  Generation rate;
  rate.configuration.sampling_rate = std::numeric_limits<double>::quiet_NaN();
  Generation nameless;
  nameless.components.emplace_back();

  EXPECT_EQ(decode(encode(rate)).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(decode(encode(nameless)).error().code, Errc::kInvalidArgument);
}

TEST(GenerationTest, ASnapshotOverTheLimitIsRefused) {
  Generation large;
  large.audience.assign(kMaxSnapshot, 'x');

  EXPECT_EQ(decode(encode(large)).error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace caisson::config
