#include "capabilities/invoke/access_control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/invoke/testing/invoke_rig.hpp"
#include "dapr/proto/common/v1/common.pb.h"
#include "dapr/proto/runtime/v1/invoke.pb.h"

namespace caisson::invoke {
namespace {

using ::testing::HasSubstr;

config::AccessPolicy policy(std::string default_action, std::vector<config::AccessOperation> operations = {},
                            std::string domain = "public") {
  config::AccessPolicy policy;
  policy.app = "shop";
  policy.trust_domain = std::move(domain);
  policy.app_namespace = "default";
  policy.default_action = std::move(default_action);
  policy.operations = std::move(operations);
  return policy;
}

config::Configuration list(std::string default_action, std::vector<config::AccessPolicy> policies = {}) {
  config::Configuration configuration;
  configuration.access_default_action = std::move(default_action);
  configuration.access_policies = std::move(policies);
  return configuration;
}

bool allows(const config::Configuration& configuration, std::string_view method, std::string_view verb = "GET",
            std::string_view app = "shop", std::string_view app_namespace = "default") {
  return static_cast<bool>(AccessControl(configuration).check({app, app_namespace}, method, verb, false));
}
bool allows_rpc(const config::Configuration& configuration, std::string_view method) {
  return static_cast<bool>(AccessControl(configuration).check({"shop", "default"}, method, {}, true));
}

TEST(AccessControlTest, WithoutAListEverythingIsAllowed) {
  EXPECT_TRUE(AccessControl().check({"shop", "default"}, "x", "GET", false));
  EXPECT_TRUE(allows(config::Configuration(), "x"));
}

TEST(AccessControlTest, TheDefaultActionIsForWhomNoPolicyNames) {
  EXPECT_FALSE(allows(list("deny"), "x"));
  EXPECT_TRUE(allows(list("allow"), "x"));
  EXPECT_TRUE(allows(list("ALLOW"), "x"));
  EXPECT_FALSE(allows(list("deny", {policy("allow")}), "x", "GET", "other"));
  EXPECT_FALSE(allows(list("deny", {policy("allow")}), "x", "GET", "shop", "elsewhere"));
}

TEST(AccessControlTest, WithPoliciesAndNoDefaultWhoIsNotNamedIsDenied) {
  EXPECT_FALSE(allows(list("", {policy("allow")}), "x", "GET", "other"));
  EXPECT_TRUE(allows(list("", {policy("allow")}), "x"));
}

TEST(AccessControlTest, APolicysDefaultGoesBeforeTheLists) {
  EXPECT_TRUE(allows(list("deny", {policy("allow")}), "x"));
  EXPECT_FALSE(allows(list("allow", {policy("deny")}), "x"));
  EXPECT_TRUE(allows(list("allow", {policy("")}), "x"));
}

TEST(AccessControlTest, APolicyOfAnotherTrustDomainDoesNotCount) {
  EXPECT_TRUE(allows(list("allow", {policy("deny", {}, "elsewhere")}), "x"));
  config::Configuration own = list("allow", {policy("deny", {}, "ours")});
  own.access_trust_domain = "ours";
  EXPECT_FALSE(allows(own, "x"));
}

TEST(AccessControlTest, OperationsAreToldApartByPathAndVerb) {
  const auto rules = list("deny", {policy("deny", {{"/orders", {"GET"}, true},
                                                   {"/orders/*", {"*"}, true},
                                                   {"orders/secret", {"*"}, false},
                                                   {"/a/*/c", {"POST"}, true},
                                                   {"/pre*", {"GET"}, true}})});
  EXPECT_TRUE(allows(rules, "orders"));
  EXPECT_TRUE(allows(rules, "/Orders/"));
  EXPECT_FALSE(allows(rules, "orders", "POST"));
  EXPECT_FALSE(allows(rules, "orders", "get"));  // verbs are exact
  EXPECT_TRUE(allows(rules, "orders/1", "DELETE"));
  EXPECT_TRUE(allows(rules, "orders/1/items", "DELETE"));
  EXPECT_FALSE(allows(rules, "orders/secret"));
  EXPECT_TRUE(allows(rules, "a/b/c", "POST"));
  EXPECT_FALSE(allows(rules, "a/b", "POST"));
  EXPECT_FALSE(allows(rules, "a/b/c/d", "POST"));
  EXPECT_TRUE(allows(rules, "prefix"));
  EXPECT_FALSE(allows(rules, "other"));
}

TEST(AccessControlTest, OfTwoPatternsThatFitTheOneThatSaysMoreCounts) {
  const auto rules = list("deny", {policy("deny", {{"/*/open", {"*"}, true}, {"/*", {"*"}, false}})});
  EXPECT_TRUE(allows(rules, "a/open"));
  EXPECT_FALSE(allows(rules, "a/closed"));
  const auto turned = list("deny", {policy("deny", {{"/*", {"*"}, false}, {"/*/open", {"*"}, true}})});
  EXPECT_TRUE(allows(turned, "a/open"));
}

TEST(AccessControlTest, GrpcMethodsAreExactAndHaveNoVerb) {
  const auto rules =
      list("deny", {policy("deny", {{"/calc.Calculator/Add", {}, true}, {"/open.Service/*", {"GET"}, true}})});

  EXPECT_TRUE(allows_rpc(rules, "/calc.Calculator/Add"));
  EXPECT_FALSE(allows_rpc(rules, "/calc.calculator/add"));
  EXPECT_TRUE(allows_rpc(rules, "/open.Service/Any"));
  EXPECT_FALSE(allows_rpc(rules, "/calc.Calculator/Divide"));
}

TEST(AccessControlTest, ADenialNamesCallerOperationAndVerb) {
  const auto denied = AccessControl(list("deny")).check({"shop", "default"}, "orders", "GET", false);

  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Errc::kPermissionDenied);
  EXPECT_THAT(denied.error().message, HasSubstr("shop"));
  EXPECT_THAT(denied.error().message, HasSubstr("orders"));
  EXPECT_THAT(denied.error().message, HasSubstr("GET"));
}

/// The same through the APIs.
class AccessTest : public InvokeRig {
 protected:
  void configure(config::Configuration configuration) {
    config::Generation generation;
    generation.configuration = std::move(configuration);
    ASSERT_EQ(gateway_.configure(generation), "");
  }
};

TEST_F(AccessTest, HttpIs403AndGrpcPermissionDenied) {
  configure(list("deny", {policy("deny", {{"/open", {"POST"}, true}, {"/calc.Calculator/Add", {}, true}})}));

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/open")).status, 200);
  const auto denied = gateway_.ask(post("/v1.0/invoke/cart/method/closed"));
  EXPECT_EQ(denied.status, 403);
  EXPECT_THAT(denied.body, HasSubstr("ERR_DIRECT_INVOKE"));
  EXPECT_THAT(denied.body, HasSubstr("access control policy has denied"));

  Ask add = post("/calc.Calculator/Add");
  add.rpc = true;
  add.headers = {{"dapr-app-id", "calc"}};
  script_ = {status(0)};
  EXPECT_EQ(gateway_.ask(add).error.code, Errc::kOk);
  add.path = "/calc.Calculator/Divide";
  EXPECT_EQ(gateway_.ask(add).error.code, Errc::kPermissionDenied);
  EXPECT_EQ(seen_.size(), 2u);
}

TEST_F(AccessTest, NoWayOfWritingAMethodGoesRoundTheList) {
  configure(list("deny", {policy("deny", {{"/open/*", {"POST"}, true}})}));
  ASSERT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/open/1")).status, 200);
  ASSERT_EQ(seen_.size(), 1u);
  for (const char* method : {"open/../closed", "open/%2e%2e/closed", "open%2f..%2fclosed", "./closed", "clos%65d"}) {
    EXPECT_EQ(gateway_.ask(post(std::string("/v1.0/invoke/cart/method/") + method)).status, 403) << method;
    for (const char* callee : {"cart", "calc"}) {
      ::dapr::proto::runtime::v1::InvokeServiceRequest request;
      request.set_id(callee);
      request.mutable_message()->set_method(method);
      request.mutable_message()->mutable_http_extension()->set_verb(::dapr::proto::common::v1::HTTPExtension::POST);
      const auto answer = gateway_.ask(post("/dapr.proto.runtime.v1.Dapr/InvokeService", request.SerializeAsString()));
      EXPECT_EQ(answer.status, static_cast<std::uint16_t>(Errc::kInternal)) << method;
      EXPECT_THAT(answer.message, HasSubstr("access control policy has denied")) << method;
    }
  }
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(AccessTest, ACallToOneselfIsNotChecked) {
  configure(list("deny"));

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/shop/method/x")).status, 200);
}

TEST_F(AccessTest, QuirkAProxiedCallToOneselfIsChecked) {
  configure(list("deny"));
  Ask add = post("/calc.Calculator/Add");
  add.rpc = true;
  add.app = "calc";
  add.headers = {{"dapr-app-id", "calc"}};

  EXPECT_EQ(gateway_.ask(add).error.code, Errc::kPermissionDenied);
}

}  // namespace
}  // namespace caisson::invoke
