#include <gmock/gmock.h>

#include "capabilities/secrets/testing/secrets_rig.hpp"
#include "sdk/component_set.hpp"
#include "sdk/sealed_secret.hpp"

namespace caisson::secrets {
namespace {

using ::testing::HasSubstr;

/// secretKeyRef: `secrets.resolve` as sdk::resolve_metadata calls it.
class ResolveTest : public testing::SecretsRig {
 protected:
  caisson::testing::Answer resolve(const std::string& store, const std::string& name, const std::string& key) {
    const sdk::SecretReceiver receiver;
    auto answer = gateway_.call("secrets.resolve",
                                {{"store", store}, {"name", name}, {"key", key}, {"seal-for", receiver.public_key()}});
    if (answer.error.code == Errc::kOk) {
      const auto opened = receiver.open(answer.body);
      answer.body = opened ? *opened : opened.error().message;
    }
    return answer;
  }

  /// As the gateway routes a call.
  Task<void> pass_back(Incoming call) {
    std::vector<Field> headers;
    for (const Field field : call.head().headers()) headers.push_back(field);
    Envelope request;
    request.target = text(call.head()->target());
    request.headers = headers;
    Buffer nothing;
    auto reply = co_await gateway_.link().call(request, nothing, call.deadline());
    if (!reply) {
      Error error = std::move(reply).error();
      [[maybe_unused]] const auto told = co_await call.reply_error(std::move(error));
      co_return;
    }
    Envelope answer;
    answer.status = reply->head->status();
    std::string body(reply->head.payload());
    [[maybe_unused]] const auto sent = co_await call.reply(answer, Buffer(std::move(body)));
  }
};

TEST_F(ResolveTest, TheAnswersBodyIsTheValue) {
  configure();

  const auto answer = resolve("vault", "db:password", "db:password");

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "canary-7f3a");
}

TEST_F(ResolveTest, NeitherTheScopesOfSecretsNorOfTheStoreApply) {
  config::SecretScope scope;
  scope.store = "vault";
  scope.allow_by_default = false;
  generation_.configuration.secret_scopes.push_back(scope);
  generation_.components[0].scopes = {"other"};
  configure();

  EXPECT_EQ(resolve("vault", "plain", "plain").body, "p");
}

TEST_F(ResolveTest, AMissingSecretKeyOrStoreIsNotFoundAndNamed) {
  configure();

  const auto secret = resolve("vault", "missing", "missing");
  const auto key = resolve("vault", "plain", "other");
  const auto store = resolve("nowhere", "plain", "plain");
  const auto none = resolve("", "plain", "plain");

  for (const auto* answer : {&secret, &key, &store, &none}) EXPECT_EQ(answer->error.code, Errc::kNotFound);
  EXPECT_THAT(secret.error.message, HasSubstr("missing"));
  EXPECT_THAT(key.error.message, HasSubstr("'plain' has no key 'other'"));
  EXPECT_THAT(store.error.message, HasSubstr("'nowhere'"));
  EXPECT_THAT(none.error.message, HasSubstr("auth.secretStore"));
}

TEST_F(ResolveTest, AStoreThatIsNotReadyIsUnavailableNotAMissingSecret) {
  generation_.components[0] = store("vault", "secretstores.local.file", "/nowhere/secrets.json");
  configure();

  const auto answer = resolve("vault", "plain", "plain");

  EXPECT_EQ(answer.error.code, Errc::kUnavailable);
  EXPECT_THAT(answer.error.message, HasSubstr("/nowhere/secrets.json"));
}

TEST_F(ResolveTest, WithoutAConfigurationItIsUnavailable) {
  EXPECT_EQ(resolve("vault", "plain", "plain").error.code, Errc::kUnavailable);
}

TEST_F(ResolveTest, TheManifestServesAndMayMakeTheCall) {
  const Manifest& manifest = gateway_.process().manifest();

  EXPECT_EQ(manifest.serves, std::vector<std::string>{"secrets.resolve"});
  EXPECT_EQ(manifest.calls, std::vector<std::string>{"secrets.resolve"});
}

TEST_F(ResolveTest, AStoreWhoseMetadataRefersToAnotherStoreComesUp) {
  // The gateway hands the call back to the only capability that serves it.
  gateway_.on_call([this](Incoming call) { return pass_back(std::move(call)); });
  write("{\"where\":\"" + (directory_.path() / "second.json").string() + "\"}");
  std::ofstream(directory_.path() / "second.json") << R"({"inner":"found"})";
  config::Component second = store("second", "secretstores.local.file");
  second.secret_store = "vault";
  second.metadata[0].secret_name = "where";
  generation_.components.push_back(second);
  configure();

  EXPECT_EQ(get("/v1.0/secrets/second/inner").body, R"({"inner":"found"})");
}

}  // namespace
}  // namespace caisson::secrets
