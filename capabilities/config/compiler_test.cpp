#include "capabilities/config/compiler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config-cache/generation.hpp"

namespace caisson::config {
namespace {

using ::testing::ElementsAre;
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
                          component("vault", "secretstores.local.file"), component("mutex", "lock.redis"),
                          component("flags", "configuration.redis")};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.problems, IsEmpty());
  for (const auto& [name, generation] : compiled.audiences) {
    const std::string snapshot = encode(generation);
    EXPECT_EQ(snapshot.find("canary-1") != std::string::npos, name == "state") << name;
  }
  EXPECT_THAT(compiled.audiences.at("secrets").components, SizeIs(1));
  EXPECT_THAT(compiled.audiences.at("lock").components, SizeIs(1));
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

  for (const std::string name : {"state", "pubsub", "secrets", "invoke", "lock", "gateway", "config"}) {
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

Component in_compartment(std::string name, std::string type, std::string compartment) {
  Component made = component(std::move(name), std::move(type));
  made.compartment = std::move(compartment);
  return made;
}

std::vector<std::string> names_in(const Generation& generation) {
  std::vector<std::string> names;
  for (const Component& one : generation.components) names.push_back(one.name);
  return names;
}

TEST(CompilerTest, AComponentWithACompartmentLeavesItsCapabilitysOwnGeneration) {
  Generation documents;
  documents.components = {component("cart", "state.sqlite"), in_compartment("slow", "state.redis", "b"),
                          component("events", "pubsub.kafka"), component("orders", "pubsub.redis")};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(names_in(compiled.audiences.at("state")), ElementsAre("cart"));
  EXPECT_THAT(names_in(compiled.audiences.at("state/b")), ElementsAre("slow"));
  EXPECT_THAT(names_in(compiled.audiences.at("pubsub")), ElementsAre("orders"));
  EXPECT_THAT(names_in(compiled.audiences.at("pubsub/kafka")), ElementsAre("events"));
  EXPECT_EQ(compiled.audiences.at("state/b").audience, "state/b");
  EXPECT_THAT(compiled.compartments, ElementsAre(Compartment{"pubsub", "kafka", {"pubsub.kafka"}, {"events"}},
                                                 Compartment{"state", "b", {"state.redis"}, {"slow"}}));
}

TEST(CompilerTest, TheProcessesOfADividedCapabilityKnowWhatTheOthersServe) {
  Generation documents;
  documents.components = {component("cart", "state.sqlite"), in_compartment("slow", "state.redis", "b"),
                          component("orders", "pubsub.redis")};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.audiences.at("state").elsewhere, ElementsAre(Elsewhere{"slow", "b"}));
  EXPECT_THAT(compiled.audiences.at("state/b").elsewhere, ElementsAre(Elsewhere{"cart", ""}));
  EXPECT_THAT(compiled.audiences.at("pubsub").elsewhere, IsEmpty());
}

TEST(CompilerTest, TheAnnotationOverridesTheTypesOwnCompartment) {
  Generation documents;
  documents.components = {in_compartment("events", "pubsub.kafka", "main")};

  EXPECT_THAT(names_in(compile(documents).audiences.at("pubsub/main")), ElementsAre("events"));
}

TEST(CompilerTest, WithoutCompartmentsAllStayWithTheirCapabilityAndWhoAskedForOneIsTold) {
  Generation documents;
  documents.components = {in_compartment("slow", "state.redis", "b"), component("events", "pubsub.kafka")};

  const Compiled compiled = compile(documents, {}, Division::kNone);

  EXPECT_THAT(names_in(compiled.audiences.at("state")), ElementsAre("slow"));
  EXPECT_THAT(names_in(compiled.audiences.at("pubsub")), ElementsAre("events"));
  EXPECT_THAT(compiled.compartments, IsEmpty());
  ASSERT_EQ(compiled.problems.size(), 1U);
  EXPECT_THAT(compiled.problems[0].message, HasSubstr("Component 'slow': compartment 'b': there are none here"));
}

TEST(CompilerTest, ASubscriptionGoesWhereItsComponentIsAndAnUnknownOneToTheCapability) {
  Generation documents;
  documents.components = {component("orders", "pubsub.redis"), component("events", "pubsub.kafka"),
                          component("cart", "state.redis")};
  for (const char* pubsub : {"orders", "events", "nowhere", "cart"}) {
    documents.subscriptions.emplace_back().pubsub = pubsub;
  }

  const Compiled compiled = compile(documents);

  const auto& own = compiled.audiences.at("pubsub").subscriptions;
  ASSERT_THAT(own, SizeIs(3));
  EXPECT_EQ(own[0].pubsub, "orders");
  EXPECT_EQ(own[1].pubsub, "nowhere");
  EXPECT_EQ(own[2].pubsub, "cart");
  ASSERT_THAT(compiled.audiences.at("pubsub/kafka").subscriptions, SizeIs(1));
  EXPECT_EQ(compiled.audiences.at("pubsub/kafka").subscriptions[0].pubsub, "events");
}

TEST(CompilerTest, ResiliencyFollowsAComponentIntoItsCompartment) {
  Generation documents;
  documents.components = {component("cart", "state.redis"), in_compartment("slow", "state.redis", "b")};
  Resiliency all;
  all.timeouts = {{"short", {}}};
  all.component_outbound["slow"] = {"short", "", "", 0};
  documents.resiliencies = {all};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.audiences.at("state").resiliencies, IsEmpty());
  EXPECT_TRUE(compiled.audiences.at("state/b").resiliencies.at(0).component_outbound.contains("slow"));
}

TEST(CompilerTest, AComponentThatMovesStaysWhereItWasUntilTheNewPlaceIsReady) {
  Generation documents;
  documents.components = {in_compartment("cart", "state.redis", "b"), component("other", "state.redis")};

  const Compiled moving = compile(documents, {{"cart", "state"}});
  const Compiled moved = compile(documents, {{"cart", "state/b"}});

  EXPECT_THAT(names_in(moving.audiences.at("state")), ElementsAre("cart", "other"));
  EXPECT_THAT(names_in(moving.audiences.at("state/b")), ElementsAre("cart"));
  EXPECT_THAT(moving.audiences.at("state").elsewhere, IsEmpty());
  EXPECT_EQ(moving.wanted.at("cart"), "state/b");
  EXPECT_EQ(moving.serving.at("cart"), "state");
  EXPECT_THAT(moving.compartments, ElementsAre(Compartment{"state", "b", {"state.redis"}, {}}));
  EXPECT_THAT(names_in(moved.audiences.at("state")), ElementsAre("other"));
  EXPECT_THAT(moved.audiences.at("state").elsewhere, ElementsAre(Elsewhere{"cart", "b"}));
}

TEST(CompilerTest, AComponentThatComesBackIsServedByItsCompartmentMeanwhile) {
  Generation documents;
  documents.components = {component("cart", "state.redis")};

  const Compiled moving = compile(documents, {{"cart", "state/b"}});

  EXPECT_THAT(names_in(moving.audiences.at("state")), ElementsAre("cart"));
  EXPECT_THAT(names_in(moving.audiences.at("state/b")), ElementsAre("cart"));
  EXPECT_THAT(moving.audiences.at("state").elsewhere, ElementsAre(Elsewhere{"cart", "b"}));
}

TEST(CompilerTest, AComponentOfAnotherCapabilityIsNoMove) {
  Generation documents;
  documents.components = {component("cart", "state.redis")};

  const Compiled compiled = compile(documents, {{"cart", "pubsub/b"}});

  EXPECT_EQ(compiled.serving.at("cart"), "state");
  EXPECT_FALSE(compiled.audiences.contains("pubsub/b"));
}

TEST(CompilerTest, ASecretStoreStaysWithTheOthersAndThatIsSaid) {
  Generation documents;
  documents.components = {in_compartment("vault", "secretstores.local.file", "b")};

  const Compiled compiled = compile(documents);

  EXPECT_THAT(names_in(compiled.audiences.at("secrets")), ElementsAre("vault"));
  ASSERT_THAT(compiled.problems, SizeIs(1));
  EXPECT_THAT(compiled.problems[0].message, HasSubstr("'vault': components of type 'secretstores.local.file' cannot"));
}

TEST(CompilerTest, TooManyCompartmentsLoseNoComponent) {
  Generation documents;
  for (int i = 0; i < 100; ++i) {
    documents.components.push_back(in_compartment("c" + std::to_string(i), "state.redis", "n" + std::to_string(i)));
  }

  const Compiled compiled = compile(documents);

  EXPECT_THAT(compiled.compartments, SizeIs(kMostCompartments / 2));
  EXPECT_THAT(compiled.problems, SizeIs(100 - kMostCompartments / 2));
  EXPECT_THAT(compiled.audiences.at("state").components, SizeIs(100 - kMostCompartments / 2));
}

}  // namespace
}  // namespace caisson::config
