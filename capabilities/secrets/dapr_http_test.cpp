#include <gmock/gmock.h>

#include "bus/log.hpp"
#include "capabilities/secrets/testing/secrets_rig.hpp"

namespace caisson::secrets {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DaprHttpTest : public testing::SecretsRig {};

TEST_F(DaprHttpTest, ASecretIsAnObjectOfItsKeys) {
  configure();

  const auto answer = get("/v1.0/secrets/vault/db%3Apassword");

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.body, R"({"db:password":"canary-7f3a"})");
}

TEST_F(DaprHttpTest, BulkIsAnObjectOfAllSecrets) {
  configure();

  const auto answer = get("/v1.0/secrets/vault/bulk");

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"db:password":{"db:password":"canary-7f3a"},"plain":{"plain":"p"}})");
}

TEST_F(DaprHttpTest, AnEmptyStoreHasNoContent) {
  write("{}");
  configure();

  const auto answer = get("/v1.0/secrets/vault/bulk");

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
}

TEST_F(DaprHttpTest, WithoutAnyStoreThatIsSaid) {
  generation_.components.clear();
  configure();

  const auto answer = get("/v1.0/secrets/vault/plain");

  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body,
            R"({"errorCode":"ERR_SECRET_STORES_NOT_CONFIGURED","message":"secret store is not configured"})");
}

TEST_F(DaprHttpTest, AnUnknownStoreIs401) {
  configure();

  for (const char* path : {"/v1.0/secrets/other/plain", "/v1.0/secrets/other/bulk"}) {
    const auto answer = get(path);
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.body,
              R"({"errorCode":"ERR_SECRET_STORE_NOT_FOUND","message":"failed finding secret store with key other"})");
  }
}

TEST_F(DaprHttpTest, AStoreOfAnotherAppsScopeIsUnknown) {
  generation_.components.push_back(generation_.components[0]);
  generation_.components[1].name = "theirs";
  generation_.components[1].scopes = {"other"};
  configure();

  EXPECT_EQ(get("/v1.0/secrets/theirs/plain").status, 401);
}

TEST_F(DaprHttpTest, AMissingSecretIs500AndNamed) {
  configure();

  const auto answer = get("/v1.0/secrets/vault/missing");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr(R"("errorCode":"ERR_SECRET_GET")"));
  EXPECT_THAT(answer.body, HasSubstr("missing"));
}

TEST_F(DaprHttpTest, AStoreThatCannotBeInitialisedSaysWhyAndTheOthersServe) {
  generation_.components.push_back(store("broken", "secretstores.local.file", "/nowhere/secrets.json"));
  configure();

  const auto broken = get("/v1.0/secrets/broken/plain");

  EXPECT_EQ(broken.status, 500);
  EXPECT_THAT(broken.body, HasSubstr(R"("errorCode":"ERR_SECRET_GET")"));
  EXPECT_THAT(broken.body, HasSubstr("/nowhere/secrets.json"));
  EXPECT_EQ(get("/v1.0/secrets/vault/plain").status, 200);
}

TEST_F(DaprHttpTest, AListOfAllowedSecretsStandsAlone) {
  config::SecretScope scope;
  scope.store = "vault";
  scope.allow_by_default = true;
  scope.allowed = {"plain"};
  scope.denied = {"plain"};
  generation_.configuration.secret_scopes.push_back(scope);
  configure();

  const auto denied = get("/v1.0/secrets/vault/db%3Apassword");

  EXPECT_EQ(denied.status, 403);
  EXPECT_THAT(denied.body, HasSubstr(R"("errorCode":"ERR_PERMISSION_DENIED")"));
  EXPECT_EQ(get("/v1.0/secrets/vault/plain").status, 200);
  EXPECT_EQ(get("/v1.0/secrets/vault/bulk").body, R"({"plain":{"plain":"p"}})");
}

TEST_F(DaprHttpTest, DeniedSecretsAreLeftOutAndTheDefaultDecidesTheRest) {
  config::SecretScope scope;
  scope.store = "vault";
  scope.denied = {"plain"};
  generation_.configuration.secret_scopes.push_back(scope);
  configure();
  EXPECT_EQ(get("/v1.0/secrets/vault/plain").status, 403);
  EXPECT_EQ(get("/v1.0/secrets/vault/db%3Apassword").status, 200);

  generation_.configuration.secret_scopes[0].allow_by_default = false;
  configure();

  EXPECT_EQ(get("/v1.0/secrets/vault/db%3Apassword").status, 403);
  EXPECT_EQ(get("/v1.0/secrets/vault/bulk").status, 204);
}

TEST_F(DaprHttpTest, ADeniedSecretIsDeniedWhetherItIsThereOrNot) {
  config::SecretScope scope;
  scope.store = "vault";
  scope.allowed = {"plain"};
  generation_.configuration.secret_scopes.push_back(scope);
  configure();

  EXPECT_EQ(get("/v1.0/secrets/vault/missing").status, 403);
}

TEST_F(DaprHttpTest, AnOpenBreakerOfTheStoreIsSaid) {
  config::Resiliency policies;
  policies.circuit_breakers["touchy"].trip = "consecutiveFailures >= 1";
  policies.component_outbound["vault"].circuit_breaker = "touchy";
  generation_.resiliencies.push_back(policies);
  configure();
  get("/v1.0/secrets/vault/missing");

  const auto answer = get("/v1.0/secrets/vault/plain");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("circuit breaker is open"));
}

TEST_F(DaprHttpTest, HtmlCharactersAreEscapedAsGoDoes) {
  write(R"({"a":"<&>"})");
  configure();

  EXPECT_EQ(get("/v1.0/secrets/vault/a").body, R"({"a":"\u003c\u0026\u003e"})");
}

TEST_F(DaprHttpTest, ASecretsValueIsInNoLogLineAndNoStatus) {
  start_logging("secrets-test", "debug");
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  config::MetadataItem extra;
  extra.name = "note";
  extra.value = "canary-7f3a";
  generation_.components[0].metadata.push_back(extra);
  generation_.components.push_back(store("broken", "secretstores.local.file", "/nowhere/x.json"));
  generation_.components[1].metadata.push_back(extra);
  configure();
  get("/v1.0/secrets/vault/db%3Apassword");
  get("/v1.0/secrets/vault/bulk");
  get("/v1.0/secrets/broken/plain");
  write(R"({"db":"canary-7f3a")");  // broken while it runs
  get("/v1.0/secrets/vault/plain");
  gateway_.call("secrets.resolve", {{"store", "vault"}, {"name", "db:password"}, {"key", "nothing"}});
  gateway_.wait_for_status([](const sdk::Status& status) { return status.components.size() == 2; });

  const std::string logged = ::testing::internal::GetCapturedStderr() + ::testing::internal::GetCapturedStdout();

  EXPECT_THAT(logged, HasSubstr("is up"));  // lines were captured at all
  EXPECT_THAT(logged, Not(HasSubstr("canary")));
  EXPECT_THAT(gateway_.status_text(), Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace caisson::secrets
