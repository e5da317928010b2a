#include <gmock/gmock.h>
#include <sqlite3.h>

#include "capabilities/lock/dapr_json.hpp"
#include "capabilities/lock/testing/lock_rig.hpp"

namespace caisson::lock {
namespace {

using ::testing::HasSubstr;

class DaprHttpTest : public testing::LockRig {
 protected:
  DaprHttpTest() { configure(); }

  caisson::testing::Answer lock(const std::string& body, const std::string& store = "locks",
                                const std::string& app = "shop") {
    return post("/v1.0-alpha1/lock/" + store, body, app);
  }
  caisson::testing::Answer unlock(const std::string& body, const std::string& store = "locks",
                                  const std::string& app = "shop") {
    return post("/v1.0-alpha1/unlock/" + store, body, app);
  }
  /// The keys of a component's file.
  std::vector<std::string> stored_keys(const std::string& store) {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open((directory_.path() / (store + ".db")).c_str(), &handle), SQLITE_OK);
    std::vector<std::string> keys;
    const auto add = [](void* to, int, char** values, char**) {
      static_cast<std::vector<std::string>*>(to)->emplace_back(values[0]);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(handle, "SELECT key FROM locks ORDER BY key", add, &keys, nullptr), SQLITE_OK);
    sqlite3_close(handle);
    return keys;
  }
};

const std::string kMine = R"({"resourceId":"order","lockOwner":"a","expiryInSeconds":60})";
const std::string kTheirs = R"({"resourceId":"order","lockOwner":"b","expiryInSeconds":60})";

TEST_F(DaprHttpTest, ALockIsTakenOnceAndReleasedByItsOwnerAlone) {
  const auto taken = lock(kMine);
  EXPECT_EQ(taken.status, 200);
  EXPECT_EQ(taken.header("content-type"), "application/json");
  EXPECT_EQ(taken.body, R"({"success":true})");
  EXPECT_EQ(lock(kTheirs).body, R"({"success":false})");
  EXPECT_EQ(lock(kMine).body, R"({"success":false})") << "locks are not reentrant";

  EXPECT_EQ(unlock(kTheirs).body, R"({"status":2})");
  const auto released = unlock(kMine);
  EXPECT_EQ(released.status, 200);
  EXPECT_EQ(released.body, R"({"status":0})");
  EXPECT_EQ(unlock(kMine).body, R"({"status":1})");
  EXPECT_EQ(lock(kTheirs).body, R"({"success":true})");
}

TEST_F(DaprHttpTest, ARequestThatIsSentAgainIsAnsweredAsBefore) {
  caisson::testing::Ask ask;
  ask.method = "POST";
  ask.path = "/v1.0-alpha1/lock/locks";
  ask.body = kMine;
  ask.request = {9, 4, 1};

  EXPECT_EQ(gateway_.ask(ask).body, R"({"success":true})");
  EXPECT_EQ(gateway_.ask(ask).body, R"({"success":true})");
  ask.request = {9, 4, 2};
  EXPECT_EQ(gateway_.ask(ask).body, R"({"success":false})");
}

TEST_F(DaprHttpTest, AppsHaveLocksOfTheirOwn) {
  lock(kMine);

  EXPECT_EQ(lock(kMine, "locks", "bank").body, R"({"success":true})");
  EXPECT_EQ(lock(kMine, "private", "bank").body, R"({"success":true})");
  EXPECT_EQ(lock(kMine, "private").status, 400) << "by its scope";
}

TEST_F(DaprHttpTest, KeysArePrefixedAsInDapr) {
  generation_.components = {component("app", "lock.sqlite"), component("name", "lock.sqlite", {{"keyPrefix", "name"}}),
                            component("none", "lock.sqlite", {{"keyPrefix", "none"}}),
                            component("text", "lock.sqlite", {{"keyPrefix", "Shared"}}),
                            component("space", "lock.sqlite", {{"keyPrefix", "namespace"}})};
  configure();
  for (const auto& one : generation_.components) ASSERT_EQ(lock(kMine, one.name).body, R"({"success":true})");

  const std::vector<std::string> expected[] = {{"lock||shop||order"},
                                               {"lock||name||order"},
                                               {"lock||order"},
                                               {"lock||shared||order"},
                                               {"lock||namespace||order"}};
  for (std::size_t i = 0; i < generation_.components.size(); ++i) {
    EXPECT_EQ(stored_keys(generation_.components[i].name), expected[i]);
  }
}

TEST_F(DaprHttpTest, ChecksComeInDaprsOrder) {
  const auto refused = [](const caisson::testing::Answer& answer) {
    return std::to_string(answer.status) + " " + answer.body;
  };
  EXPECT_EQ(
      refused(lock(R"({"resourceId":"","lockOwner":"","expiryInSeconds":0})", "other")),
      R"(400 {"errorCode":"ERR_MALFORMED_REQUEST","message":"ExpiryInSeconds is not positive in lock store other"})");
  EXPECT_EQ(refused(lock(R"({"lockOwner":"","expiryInSeconds":1})", "other")),
            R"(400 {"errorCode":"ERR_MALFORMED_REQUEST","message":"ResourceId is empty in lock store other"})");
  EXPECT_EQ(refused(lock(R"({"resourceId":"r","expiryInSeconds":1})", "other")),
            R"(400 {"errorCode":"ERR_MALFORMED_REQUEST","message":"LockOwner is empty in lock store other"})");
  EXPECT_EQ(refused(lock(kMine, "other")),
            R"(400 {"errorCode":"ERR_LOCK_STORE_NOT_FOUND","message":"lock store other not found"})");
  EXPECT_EQ(refused(unlock("", "other")),
            R"(400 {"errorCode":"ERR_MALFORMED_REQUEST","message":"ResourceId is empty in lock store other"})");
  EXPECT_EQ(refused(unlock(kMine, "other")),
            R"(400 {"errorCode":"ERR_LOCK_STORE_NOT_FOUND","message":"lock store other not found"})");

  generation_.components.clear();
  configure();
  EXPECT_EQ(
      refused(lock(R"({"expiryInSeconds":-1})")),
      R"(400 {"errorCode":"ERR_MALFORMED_REQUEST","message":"ExpiryInSeconds is not positive in lock store locks"})");
  for (const auto& answer : {lock(R"({"expiryInSeconds":1})"), unlock("{}")}) {
    EXPECT_EQ(refused(answer),
              R"(500 {"errorCode":"ERR_LOCK_STORE_NOT_CONFIGURED","message":"lock store is not configured"})");
  }
}

TEST_F(DaprHttpTest, QuirkAnIllegalResourceIsAFailureOfTheStore) {
  const std::string body = R"({"resourceId":"a||b","lockOwner":"a","expiryInSeconds":60})";

  const auto locked = lock(body);
  EXPECT_EQ(locked.status, 500);
  EXPECT_EQ(locked.body, R"({"errorCode":"ERR_TRY_LOCK","message":)"
                         R"("failed to try acquiring lock: input key/keyPrefix 'a||b' can't contain '||'"})");
  const auto unlocked = unlock(body);
  EXPECT_EQ(unlocked.status, 500);
  EXPECT_EQ(unlocked.body, R"({"errorCode":"ERR_UNLOCK","message":)"
                           R"("failed to release lock: input key/keyPrefix 'a||b' can't contain '||'"})");
}

TEST_F(DaprHttpTest, QuirkTheStoreIsThatOfThePath) {
  EXPECT_EQ(lock(R"({"storeName":"other","resourceId":"r","lockOwner":"a","expiryInSeconds":1})").body,
            R"({"success":true})");
}

TEST_F(DaprHttpTest, AStoreThatCannotBeOpenedSaysWhyAndTheOthersServe) {
  generation_.components.push_back(component("broken", "lock.sqlite", {{"connectionString", "/nowhere/x.db"}}));
  generation_.components.push_back(component("odd", "lock.nothing"));
  generation_.components.push_back(component("prefix", "lock.sqlite", {{"keyPrefix", "a||b"}}));
  configure();

  for (const auto& [store, why] : {std::pair{"broken", "/nowhere/x.db"},
                                   {"odd", "no lock store type 'lock.nothing'"},
                                   {"prefix", "metadata 'keyPrefix'"}}) {
    const auto answer = lock(kMine, store);
    EXPECT_EQ(answer.status, 500);
    EXPECT_THAT(answer.body, HasSubstr("ERR_TRY_LOCK"));
    EXPECT_THAT(answer.body, HasSubstr(std::string("lock store ") + store + " is not ready: "));
    EXPECT_THAT(answer.body, HasSubstr(why));
  }
  EXPECT_EQ(lock(kMine).status, 200);
}

TEST_F(DaprHttpTest, ABodyThatCannotBeReadIsMalformed) {
  for (const char* path : {"/v1.0-alpha1/lock/locks", "/v1.0-alpha1/unlock/locks"}) {
    const auto answer = post(path, R"({"resourceId":)");

    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.body,
                HasSubstr(R"({"errorCode":"ERR_MALFORMED_REQUEST","message":"failed deserializing HTTP body: )"));
  }
}

TEST_F(DaprHttpTest, TheManifestNamesTheStoreAndTheLists) {
  for (const Route& route : gateway_.process().manifest().routes) {
    EXPECT_TRUE(route.ledgered) << route.path;
    EXPECT_FALSE(route.safe);
    EXPECT_EQ(route.selector, route.rpc == Rpc::kNone ? "store" : "1");
    EXPECT_EQ(route.version, route.rpc == Rpc::kNone ? "v1.0-alpha1" : "v1alpha1");
    const bool unlocks = route.path.find("nlock") != std::string::npos;
    EXPECT_EQ(route.group, unlocks ? "unlock" : "lock");
  }
}

// --- protobuf's JSON ---

TEST(DaprJsonTest, MembersMayHaveEitherName) {
  const auto lock = parse_try_lock(R"({"store_name":"s","resource_id":"r","lock_owner":"o","expiry_in_seconds":7})");

  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->resource + lock->owner, "ro");
  EXPECT_EQ(lock->expiry_seconds, 7);
  EXPECT_EQ(parse_unlock(R"({"resource_id":"r"})")->resource, "r");
}

TEST(DaprJsonTest, UnknownMembersNullsAndAnEmptyBodyMeanNothing) {
  EXPECT_EQ(parse_try_lock(R"({"LockOwner":"x","more":{"a":[1]},"resourceId":null,"expiryInSeconds":5})")->owner, "");
  EXPECT_EQ(parse_try_lock("")->expiry_seconds, 0);
  EXPECT_TRUE(parse_unlock(R"({"expiryInSeconds":"not looked at"})"));
}

TEST(DaprJsonTest, ANumberMayBeWrittenInSeveralWays) {
  for (const char* number : {"60", "6e1", "60.0", R"("60")", R"("6e1")"}) {
    const auto lock = parse_try_lock(std::string(R"({"expiryInSeconds":)") + number + "}");
    ASSERT_TRUE(lock) << number;
    EXPECT_EQ(lock->expiry_seconds, 60) << number;
  }
  for (const char* number : {"1.5", "2147483648", "-2147483649", "1e99", R"("")", R"(" 60")", R"("60s")", R"("inf")",
                             R"("nan")", R"("0x10")", "true", "[60]", "{}"}) {
    const auto lock = parse_try_lock(std::string(R"({"expiryInSeconds":)") + number + "}");
    ASSERT_FALSE(lock) << number;
    EXPECT_EQ(lock.error().message, "invalid value for int32 field expiryInSeconds") << number;
  }
}

TEST(DaprJsonTest, WhatIsNotTheMessageIsRefused) {
  for (const char* body : {"null", "[]", "7", "{", R"({"resourceId":7})", R"({"storeName":[]})", R"({"lockOwner":{}})",
                           R"({"lockOwner":"a","lock_owner":"b"})", R"({"lockOwner":"a"} x)",
                           // Two owners must never become one.
                           "{\"lockOwner\":\"\xff\"}", R"({"lockOwner":"\ud800"})"}) {
    EXPECT_FALSE(parse_try_lock(body)) << body;
    EXPECT_FALSE(parse_unlock(body)) << body;
  }
  EXPECT_EQ(parse_unlock(R"({"lockOwner":"a","lock_owner":"b"})").error().message, "duplicate field \"lock_owner\"");
}

}  // namespace
}  // namespace caisson::lock
