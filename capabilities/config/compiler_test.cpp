#include "capabilities/config/compiler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config-cache/generation.hpp"

namespace caisson::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Component component(std::string name, std::string type, std::string value = "v") {
  Component made;
  made.name = std::move(name);
  made.type = std::move(type);
  made.version = "v1";
  made.metadata.push_back({"password", std::move(value), {}, {}, {}});
  made.origin = {"f.yaml", 1};
  return made;
}

TEST(CompilerTest, ComponentMetadataIsFoundInItsOwnersSnapshotAlone) {
  Generation documents;
  documents.components = {component("cart", "state.redis", "canary-1"), component("orders", "pubsub.redis"),
                          component("vault", "secretstores.local.file"), component("mail", "bindings.smtp"),
                          component("flags", "configuration.redis")};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.problems, IsEmpty());
  for (const auto& [name, generation] : compiled.audiences) {
    const std::string snapshot = encode(generation);
    EXPECT_EQ(snapshot.find("canary-1") != std::string::npos, name == "state") << name;
  }
  EXPECT_THAT(compiled.audiences.at("secrets").components, SizeIs(1));
  EXPECT_THAT(compiled.audiences.at("bindings").components, SizeIs(1));
  EXPECT_THAT(compiled.audiences.at("config").components, SizeIs(1));
}

TEST(CompilerTest, ASecretReferenceStaysAReference) {
  Generation documents;
  Component cart = component("cart", "state.redis");
  cart.metadata.push_back({"redisPassword", {}, "redis", "password", {}});
  cart.secret_store = "vault";
  documents.components = {cart};

  const Compiled compiled = compile(documents);

  const Component& given = compiled.audiences.at("state").components.at(0);
  EXPECT_EQ(given.metadata.at(1).value, "");
  EXPECT_EQ(given.metadata.at(1).secret_name, "redis");
  EXPECT_EQ(given.secret_store, "vault");
}

TEST(CompilerTest, EveryCapabilityGetsAGenerationEvenAnEmptyOne) {
  const Compiled compiled = compile({});

  for (const std::string name : {"state", "pubsub", "secrets", "invoke", "gateway", "config"}) {
    ASSERT_TRUE(compiled.audiences.contains(name)) << name;
    EXPECT_EQ(compiled.audiences.at(name).audience, name);
  }
}

TEST(CompilerTest, AnUnknownCategoryIsReportedAndTheOthersAreServed) {
  Generation documents;
  documents.components = {component("odd", "stat.redis"), component("cart", "state.redis")};

  const Compiled compiled = compile(documents);

  ASSERT_THAT(compiled.problems, SizeIs(1));
  EXPECT_THAT(compiled.problems[0].message, HasSubstr("'odd'"));
  EXPECT_EQ(compiled.problems[0].origin.file, "f.yaml");
  EXPECT_THAT(compiled.audiences.at("state").components, SizeIs(1));
}

TEST(CompilerTest, DeniedComponentTypesGoToNobody) {
  Generation documents;
  documents.components = {component("a", "state.redis"), component("b", "state.sqlite"), component("c", "pubsub.x")};
  documents.configuration.denied_component_types = {"State.Redis", "state.sqlite/v1", "pubsub.x/v2"};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.audiences.at("state").components, IsEmpty());
  EXPECT_THAT(compiled.audiences.at("pubsub").components, SizeIs(1));
}

TEST(CompilerTest, ResiliencyIsCutDownToTheAudiencesTargets) {
  Generation documents;
  documents.components = {component("cart", "state.redis"), component("orders", "pubsub.redis")};
  Resiliency all;
  all.name = "r";
  all.timeouts = {{"short", {}}, {"DefaultTimeoutPolicy", {}}, {"unused", {}}};
  all.retries = {{"often", {}}};
  all.circuit_breakers = {{"fuse", {}}};
  all.apps["till"] = {"short", "", "fuse", 0};
  all.component_outbound["cart"] = {"short", "", "", 0};
  all.component_inbound["orders"] = {"", "often", "", 0};
  documents.resiliencies = {all};

  const Compiled compiled = compile(documents);

  const Resiliency& state = compiled.audiences.at("state").resiliencies.at(0);
  EXPECT_TRUE(state.timeouts.contains("short"));
  EXPECT_TRUE(state.timeouts.contains("DefaultTimeoutPolicy"));
  EXPECT_FALSE(state.timeouts.contains("unused"));
  EXPECT_TRUE(state.component_outbound.contains("cart"));
  EXPECT_THAT(state.apps, IsEmpty());
  EXPECT_THAT(state.retries, IsEmpty());
  const Resiliency& pubsub = compiled.audiences.at("pubsub").resiliencies.at(0);
  EXPECT_TRUE(pubsub.component_inbound.contains("orders"));
  EXPECT_TRUE(pubsub.retries.contains("often"));
  EXPECT_THAT(pubsub.circuit_breakers, IsEmpty());
  const Resiliency& invoke = compiled.audiences.at("invoke").resiliencies.at(0);
  EXPECT_TRUE(invoke.apps.contains("till"));
  EXPECT_TRUE(invoke.circuit_breakers.contains("fuse"));
  EXPECT_THAT(invoke.component_outbound, IsEmpty());
  EXPECT_THAT(compiled.audiences.at("gateway").resiliencies, IsEmpty());
}

TEST(CompilerTest, EachPartOfTheConfigurationGoesToWhomItConcerns) {
  Generation documents;
  documents.subscriptions.emplace_back().topic = "orders";
  documents.http_endpoints.emplace_back().base_url = "https://example.org";
  Configuration& all = documents.configuration;
  all.sampling_rate = 1;
  all.secret_scopes.push_back({"vault", false, {}, {}});
  all.api_denied.push_back({"invoke", "v1.0", "http"});
  all.access_policies.push_back({"till", "public", "default", "deny", {}});

  const auto audiences = compile(documents).audiences;

  for (const auto& [name, generation] : audiences) {
    EXPECT_EQ(generation.subscriptions.size(), name == "pubsub" ? 1U : 0U) << name;
    EXPECT_EQ(generation.http_endpoints.size(), name == "invoke" ? 1U : 0U) << name;
    EXPECT_EQ(generation.configuration.secret_scopes.size(), name == "secrets" ? 1U : 0U) << name;
    EXPECT_EQ(generation.configuration.api_denied.size(), name == "gateway" ? 1U : 0U) << name;
    EXPECT_EQ(generation.configuration.sampling_rate, name == "gateway" ? 1 : 0.0001) << name;
    EXPECT_EQ(generation.configuration.access_policies.size(), name == "invoke" ? 1U : 0U) << name;
  }
}

}  // namespace
}  // namespace caisson::config
