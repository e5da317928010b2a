#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/secrets/make_store.hpp"

namespace caisson::secrets {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Gives a store these secrets (name to value) and how it is configured then.
using Prepare = sdk::ComponentSpec (*)(const std::filesystem::path& directory, const Secret& secrets);

sdk::ComponentSpec prepare_env(const std::filesystem::path& directory, const Secret& secrets) {
  // Of this test's own, since the environment is the process's.
  const std::string prefix = "CAISSON_" + directory.filename().string() + "_";
  for (const auto& [name, value] : secrets) ::setenv((prefix + name).c_str(), value.c_str(), 1);
  return {"vault", "secretstores.local.env", "v1", sdk::Metadata(sdk::Metadata::Items{{"prefix", prefix}})};
}

sdk::ComponentSpec prepare_file(const std::filesystem::path& directory, const Secret& secrets) {
  std::string json = "{";
  for (const auto& [name, value] : secrets) {
    if (json.size() > 1) json += ",";
    json += "\"" + name + "\":\"" + value + "\"";
  }
  const std::filesystem::path file = directory / "secrets.json";
  std::ofstream(file) << json << "}";
  return {"vault", "secretstores.local.file", "", sdk::Metadata(sdk::Metadata::Items{{"secretsFile", file.string()}})};
}

/// What every backend owes its callers; each backend is one instantiation below.
class SecretStoreConformanceTest : public ::testing::TestWithParam<Prepare> {
 protected:
  std::shared_ptr<SecretStore> open(const Secret& secrets) {
    const sdk::ComponentSpec spec = GetParam()(directory_.path(), secrets);
    auto made = testing::run(loop_, make_store(spec, Deadline::never()));
    EXPECT_TRUE(made) << made.error().message;
    return std::static_pointer_cast<SecretStore>(*made);
  }
  Result<Secret> get(SecretStore& store, const std::string& name) {
    return testing::run(loop_, store.get(name, Deadline::never()));
  }

  testing::TemporaryDirectory directory_;
  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_P(SecretStoreConformanceTest, ASecretOfOneValueIsUnderItsOwnName) {
  const auto store = open({{"password", "red"}, {"token", "blue"}});

  const auto secret = get(*store, "password");

  ASSERT_TRUE(secret);
  EXPECT_EQ(*secret, (Secret{{"password", "red"}}));
}

TEST_P(SecretStoreConformanceTest, BulkHasEverySecretAsGetGivesIt) {
  const auto store = open({{"password", "red"}, {"token", "blue"}});

  const auto all = testing::run(loop_, store->get_all(Deadline::never()));

  ASSERT_TRUE(all);
  EXPECT_EQ(*all, (Secrets{{"password", {{"password", "red"}}}, {"token", {{"token", "blue"}}}}));
}

TEST_P(SecretStoreConformanceTest, AnEmptyValueAndTextBeyondAsciiAreKept) {
  const auto store = open({{"empty", ""}, {"word", "caf\xC3\xA9 = 1"}});

  EXPECT_EQ(get(*store, "empty")->at("empty"), "");
  EXPECT_EQ(get(*store, "word")->at("word"), "caf\xC3\xA9 = 1");
}

TEST_P(SecretStoreConformanceTest, AMissingSecretShowsNoOther) {
  const auto store = open({{"password", "red"}});

  const auto secret = get(*store, "passwor");

  if (secret) {
    EXPECT_EQ(*secret, (Secret{{"passwor", ""}}));  // a variable that is not set
  } else {
    EXPECT_EQ(secret.error().code, Errc::kNotFound);
    EXPECT_THAT(secret.error().message, HasSubstr("passwor"));
    EXPECT_THAT(secret.error().message, Not(HasSubstr("red")));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SecretStoreConformanceTest, ::testing::Values(prepare_env, prepare_file),
                         [](const auto& backend) { return backend.index == 0 ? "LocalEnv" : "LocalFile"; });

TEST(MakeStoreTest, AnUnknownTypeAndVersionAreRefused) {
  const SystemClock clock;
  EventLoop loop(clock);
  for (const sdk::ComponentSpec& spec : {sdk::ComponentSpec{"v", "secretstores.hashicorp.vault", "v1", {}},
                                         sdk::ComponentSpec{"v", "secretstores.local.env", "v2", {}},
                                         sdk::ComponentSpec{"v", "secretstores.local.file", "v1", {}}}) {
    const auto made = testing::run(loop, make_store(spec, Deadline::never()));
    ASSERT_FALSE(made) << spec.type;
    EXPECT_EQ(made.error().code, Errc::kInvalidArgument);
  }
}

TEST(LocalEnvStoreTest, TheRuntimesOwnVariablesAreNeverShown) {
  const SystemClock clock;
  EventLoop loop(clock);
  ::setenv("DAPR_API_TOKEN", "canary", 1);
  ::setenv("APP_API_TOKEN", "canary", 1);
  const auto value = [&](const std::string& prefix, const std::string& name) {
    const sdk::ComponentSpec spec{"v", "secretstores.local.env", "v1",
                                  sdk::Metadata(sdk::Metadata::Items{{"prefix", prefix}})};
    const auto store = std::static_pointer_cast<SecretStore>(*testing::run(loop, make_store(spec, Deadline::never())));
    const auto all = testing::run(loop, store->get_all(Deadline::never()));
    EXPECT_FALSE(all->contains(name));
    return testing::run(loop, store->get(name, Deadline::never()))->at(name);
  };

  EXPECT_EQ(value("", "DAPR_API_TOKEN"), "");
  EXPECT_EQ(value("", "APP_API_TOKEN"), "");
  EXPECT_EQ(value("DAPR_", "API_TOKEN"), "");
  EXPECT_EQ(value("APP_", "API_TOKEN"), "");
}

}  // namespace
}  // namespace caisson::secrets
