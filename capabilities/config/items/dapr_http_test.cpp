#include "capabilities/config/items/dapr_http.hpp"

#include <gmock/gmock.h>

#include "capabilities/config/items/testing/items_rig.hpp"

namespace caisson::items {
namespace {

using ::testing::HasSubstr;

class DaprHttpTest : public testing::ItemsRig {
 protected:
  void expect_error(const caisson::testing::Answer& answer, int status, const std::string& code,
                    const std::string& message) {
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.body, R"({"errorCode":")" + code + R"(","message":")" + message + R"("})");
    EXPECT_EQ(answer.header("content-type"), "application/json");
  }
};

TEST_F(DaprHttpTest, NamedItemsAreGivenAndWhatIsNotThereIsLeftOut) {
  write(R"({"a":{"value":"<1>","version":"7","metadata":{"by":"me"}},"b":"2","c":"3"})");
  wait_until([&] { return get("/v1.0/configuration/flags", "key=c").status == 200; });

  const auto answer = get("/v1.0/configuration/flags", "key=a&key=b&key=none&metadata.x=1");

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.body, R"({"a":{"value":"\u003c1\u003e","version":"7","metadata":{"by":"me"}},"b":{"value":"2"}})");
}

TEST_F(DaprHttpTest, WithoutKeysAllItemsAreGiven) {
  EXPECT_EQ(get("/v1.0/configuration/flags").body, R"({"a":{"value":"1"},"b":{"value":"1"}})");
  EXPECT_EQ(get("/v1.0-alpha1/configuration/flags").body, R"({"a":{"value":"1"},"b":{"value":"1"}})");
}

TEST_F(DaprHttpTest, NothingFoundIsNoContent) {
  const auto answer = get("/v1.0/configuration/flags", "key=none");

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
}

TEST_F(DaprHttpTest, AKeyIsDecoded) {
  write(R"({"a/b c":"1"})");
  wait_until([&] { return get("/v1.0/configuration/flags", "key=a%2Fb+c").status == 200; });
}

TEST_F(DaprHttpTest, AnUnknownStoreIsRefusedOnEveryRoute) {
  for (const char* const path : {"", "/subscribe", "/some-id/unsubscribe"}) {
    expect_error(get(std::string("/v1.0/configuration/none") + path), 400, "ERR_CONFIGURATION_STORE_NOT_FOUND",
                 "configuration store none not found");
  }
}

TEST_F(DaprHttpTest, WithoutAnyStoreTheAppIsToldSo) {
  generation_.components.clear();
  configure();

  for (const char* const path : {"", "/subscribe", "/some-id/unsubscribe"}) {
    expect_error(get(std::string("/v1.0/configuration/flags") + path), 500, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED",
                 "configuration stores not configured");
  }
}

TEST_F(DaprHttpTest, AnAppSeesOnlyTheStoresOfItsScope) {
  generation_.components.push_back(file_store("open", file_));
  generation_.components[0].scopes = {"till"};
  configure();
  gateway_->set_app("till");

  expect_error(get("/v1.0/configuration/flags"), 400, "ERR_CONFIGURATION_STORE_NOT_FOUND",
               "configuration store flags not found");
  expect_error(get("/v1.0/configuration/flags/subscribe"), 400, "ERR_CONFIGURATION_STORE_NOT_FOUND",
               "configuration store flags not found");
  EXPECT_EQ(get("/v1.0/configuration/flags", {}, "till").status, 200);
  EXPECT_EQ(get("/v1.0/configuration/open").status, 200);
}

TEST_F(DaprHttpTest, AnAppWithoutAPortCannotSubscribe) {
  gateway_->set_app("portless", false, 0, "");

  expect_error(get("/v1.0/configuration/flags/subscribe", {}, "portless"), 500, "ERR_APP_CHANNEL_NIL",
               "app channel is not initialized");
  EXPECT_EQ(get("/v1.0/configuration/flags", {}, "portless").status, 200);
}

TEST_F(DaprHttpTest, AStoreThatIsNotReadySaysWhy) {
  generation_.components[0].metadata[0].value = "/nowhere/flags.json";
  generation_.components[0].name = "broken";
  configure();

  const auto answer = get("/v1.0/configuration/broken", "key=a&key=b");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("ERR_CONFIGURATION_GET"));
  EXPECT_THAT(answer.body, HasSubstr("failed to get [a b] from Configuration store broken"));
  EXPECT_THAT(answer.body, HasSubstr("/nowhere/flags.json does not exist"));
  const auto subscribed = get("/v1.0/configuration/broken/subscribe", "key=a");
  EXPECT_EQ(subscribed.status, 500);
  EXPECT_THAT(subscribed.body, HasSubstr("ERR_CONFIGURATION_SUBSCRIBE"));
}

TEST_F(DaprHttpTest, TooManyTooLongAndEmptyKeysAreRefused) {
  std::string many;
  for (std::size_t i = 0; i <= kMaxNamedKeys; ++i) many += "key=k" + std::to_string(i) + "&";

  for (const char* const path : {"/v1.0/configuration/flags", "/v1.0/configuration/flags/subscribe"}) {
    EXPECT_THAT(get(path, many).body, HasSubstr("1001 keys are named; 1000 is the most"));
    EXPECT_THAT(get(path, "key=" + std::string(kMaxKeyLength + 1, 'k')).body, HasSubstr("is longer than 1024 bytes"));
    EXPECT_THAT(get(path, "key=a&key=").body, HasSubstr("a key is empty"));
  }
}

TEST_F(DaprHttpTest, OnlyWhatMayBeRepeatedIsMarkedSafe) {
  int routes = 0;
  for (const Route& route : gateway_->process().manifest().routes) {
    if (route.rpc != Rpc::kNone) continue;
    ++routes;
    EXPECT_EQ(route.safe, !route.path.ends_with("/unsubscribe")) << route.path;
    EXPECT_EQ(route.selector, "store");
    EXPECT_EQ(route.group, "configuration");
  }
  EXPECT_EQ(routes, 6);
}

TEST_F(DaprHttpTest, TheStatusShowsEachStore) {
  generation_.components.push_back(file_store("missing", "/nowhere/flags.json"));
  config::Component unknown = file_store("odd", file_);
  unknown.type = "configuration.odd";
  generation_.components.push_back(unknown);
  configure();

  const auto status = gateway_->status();

  ASSERT_EQ(status.components.size(), 3U);
  EXPECT_EQ(status.components[0].state, sdk::ComponentState::kUp);
  EXPECT_EQ(status.components[1].state, sdk::ComponentState::kDown);
  EXPECT_THAT(status.components[1].reason, HasSubstr("/nowhere/flags.json does not exist"));
  EXPECT_THAT(status.components[2].reason, HasSubstr("there is no configuration store of type configuration.odd/v1"));
}

}  // namespace
}  // namespace caisson::items
