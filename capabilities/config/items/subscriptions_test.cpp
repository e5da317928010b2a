#include "capabilities/config/items/subscriptions.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "capabilities/config/items/testing/items_rig.hpp"

namespace caisson::items {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

class SubscriptionsTest : public testing::ItemsRig {
 protected:
  /// Paths of what was told, in order, after the last '/'.
  std::vector<std::string> told_keys() const {
    std::vector<std::string> keys;
    for (const auto& told : told_) keys.push_back(told.path.substr(told.path.rfind('/') + 1));
    return keys;
  }
  std::size_t told_under(const std::string& id) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(told_, [&](const auto& told) { return told.body.find(id) != std::string::npos; }));
  }
  caisson::testing::Answer unsubscribe(const std::string& id, const std::string& app = "shop") {
    return get("/v1.0/configuration/flags/" + id + "/unsubscribe", {}, app);
  }
};

TEST_F(SubscriptionsTest, AChangeIsPostedToTheAppWithTheSubscriptionsId) {
  const std::string id = subscribe("key=a");

  write(R"({"a":{"value":"2","version":"v2","metadata":{"by":"me"}},"b":"1"})");
  wait_for_told(1);

  EXPECT_EQ(told_[0].app, "shop");
  EXPECT_EQ(told_[0].path, "/configuration/flags/a");
  EXPECT_EQ(told_[0].body,
            R"({"id":")" + id + R"(","items":{"a":{"value":"2","version":"v2","metadata":{"by":"me"}}}})");
}

TEST_F(SubscriptionsTest, WhatIsThereAtTheBeginningAndOtherKeysAreNotTold) {
  subscribe("key=a");

  write(R"({"a":"1","b":"2","c":"1"})");
  settle();

  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(SubscriptionsTest, WithoutKeysEveryChangeIsToldOneCallPerKey) {
  subscribe();

  write(R"({"a":"2","c":"1"})");
  wait_for_told(3);
  settle();

  EXPECT_THAT(told_keys(), ::testing::UnorderedElementsAre("a", "b", "c"));
}

TEST_F(SubscriptionsTest, AnItemThatIsGoneIsToldWithEmptyFieldsAndOnce) {
  const std::string id = subscribe("key=a");

  write(R"({"b":"1"})");
  wait_for_told(1);
  settle();

  ASSERT_THAT(told_, SizeIs(1));
  EXPECT_EQ(told_[0].body, R"({"id":")" + id + R"(","items":{"a":{}}})");
}

TEST_F(SubscriptionsTest, ChangesWhileTheAppIsAwayBecomeTheNewestOfEachKey) {
  subscribe();
  gateway_->set_app("shop", false);
  for (const char* const value : {"2", "3", "4"}) {
    write(std::string(R"({"a":")") + value + R"(","b":"1"})");
    settle();
  }
  EXPECT_THAT(told_, IsEmpty());

  gateway_->set_app("shop");
  wait_for_told(1);
  settle();

  ASSERT_THAT(told_, SizeIs(1));
  EXPECT_THAT(told_[0].body, HasSubstr(R"("value":"4")"));
}

TEST_F(SubscriptionsTest, AnAppThatDoesNotAnswer200IsAskedAgainWithTheNewestValue) {
  subscribe("key=a");
  status_ = 204;
  write(R"({"a":"2"})");
  wait_for_told(1);
  settle();
  EXPECT_THAT(told_, SizeIs(1));  // time stands still

  write(R"({"a":"3"})");
  settle();
  EXPECT_THAT(told_, SizeIs(1));  // a change does not shorten the wait
  status_ = 200;
  clock_.advance(100ms);
  wait_for_told(2);
  advance(2min);
  settle();

  EXPECT_THAT(told_, SizeIs(2));
  EXPECT_THAT(told_[1].body, HasSubstr(R"("value":"3")"));
}

TEST_F(SubscriptionsTest, TheWaitsGrowToHalfAMinute) {
  subscribe("key=a");
  status_ = 500;
  write(R"({"a":"2"})");
  wait_for_told(1);
  settle();

  for (const auto pause : {100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 6400ms, 12800ms, 25600ms, 30000ms, 30000ms}) {
    const std::size_t before = told_.size();
    advance(pause - 1ms);
    settle();
    EXPECT_EQ(told_.size(), before) << pause.count();
    clock_.advance(1ms);
    wait_for_told(before + 1);
    settle();
  }
}

TEST_F(SubscriptionsTest, AKeyThatTheAppRefusesHoldsUpNoOther) {
  subscribe();
  std::string json = "{";
  for (int i = 0; i < 10; ++i) {
    status_of_["/configuration/flags/bad" + std::to_string(i)] = 500;
    json += "\"bad" + std::to_string(i) + "\":\"1\",";
  }

  write(json + R"("a":"2","b":"1","z":"1"})");
  wait_for_told(12);

  EXPECT_THAT(told_keys(), ::testing::IsSupersetOf({"a", "z"}));
}

TEST_F(SubscriptionsTest, OneUpdateOfAKeyIsUnderWayAtATime) {
  subscribe("key=a");
  hold_ = true;
  write(R"({"a":"2"})");
  wait_for_told(1);
  write(R"({"a":"3"})");
  settle();
  EXPECT_THAT(told_, SizeIs(1));

  hold_ = false;
  released_.wake_all();
  wait_for_told(2);

  EXPECT_THAT(told_[1].body, HasSubstr(R"("value":"3")"));
}

TEST_F(SubscriptionsTest, ARestartTellsWhatChangedMeanwhileAndNothingTwice) {
  const std::string id = subscribe();
  write(R"({"a":"2","b":"1"})");
  wait_for_told(1);
  settle();

  stop();
  write(R"({"a":"2","b":"2","c":"1"})");
  start();
  wait_for_told(3);
  settle();

  EXPECT_THAT(told_keys(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(told_under(id), 3U);
}

TEST_F(SubscriptionsTest, ARestartTellsWhatIsGoneMeanwhile) {
  subscribe();
  stop();
  write(R"({"a":"1"})");

  start();
  wait_for_told(1);
  settle();
  stop();
  start();
  settle();

  ASSERT_THAT(told_, SizeIs(1));
  EXPECT_THAT(told_[0].body, HasSubstr(R"("b":{})"));
}

TEST_F(SubscriptionsTest, ARestartKeepsAnUnsubscriptionAndTheKeysSubscribed) {
  const std::string ended = subscribe("key=a");
  subscribe("key=b&key=c");
  EXPECT_EQ(unsubscribe(ended).body, R"({"ok":true})");
  stop();
  write(R"({"a":"2","b":"2","c":"2","d":"2"})");

  start();
  wait_for_told(2);
  settle();

  EXPECT_THAT(told_keys(), ElementsAre("b", "c"));
}

TEST_F(SubscriptionsTest, AnUnsubscribedKeyIsNotToldAndTheIdIsThenUnknown) {
  const std::string id = subscribe("key=a");

  const auto foreign = unsubscribe(id, "till");
  const auto first = unsubscribe(id);
  const auto second = unsubscribe(id);
  write(R"({"a":"2"})");
  settle();

  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(second.status, 500);
  EXPECT_EQ(second.body, R"({"message":"there is no subscription )" + id + R"("})");
  EXPECT_NE(foreign.status, 200);
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(SubscriptionsTest, TheSameKeysAgainTakeTheOlderSubscriptionsPlace) {
  const std::string first = subscribe("key=b&key=a");
  const std::string second = subscribe("key=a&key=b&key=a");

  write(R"({"a":"2","b":"2"})");
  wait_for_told(2);
  settle();

  EXPECT_EQ(told_under(first), 0U);
  EXPECT_EQ(told_under(second), 2U);
  EXPECT_EQ(unsubscribe(first).status, 500);
}

TEST_F(SubscriptionsTest, TheSameKeysAgainLoseNothingThatIsStillOwed) {
  subscribe("key=a");
  status_ = 500;
  write(R"({"a":"2","b":"1"})");
  wait_for_told(1);
  settle();
  status_ = 200;

  const std::string second = subscribe("key=a");
  wait_for_told(2);

  EXPECT_EQ(told_under(second), 1U);
}

TEST_F(SubscriptionsTest, DifferentKeysOfOneIncarnationAreToldUnderEachSubscription) {
  const std::string one = subscribe("key=a");
  const std::string both = subscribe("key=a&key=b");

  write(R"({"a":"2","b":"1"})");
  wait_for_told(2);

  EXPECT_EQ(told_under(one), 1U);
  EXPECT_EQ(told_under(both), 1U);
}

TEST_F(SubscriptionsTest, ARestartedAppIsToldOnceUnderItsNewSubscription) {
  const std::string old = subscribe("key=a");
  const std::string other = subscribe("key=b");
  gateway_->set_app("shop", false);
  // Before it listens: this is of the next incarnation already.
  const std::string renewed = subscribe("key=a&key=c");
  gateway_->set_app("shop", true, 2);

  write(R"({"a":"2","b":"2"})");
  wait_for_told(2);
  settle();

  EXPECT_EQ(told_under(renewed), 1U);
  EXPECT_EQ(told_under(other), 1U);  // nobody said that it is not wanted
  EXPECT_EQ(told_under(old), 0U);
  EXPECT_EQ(unsubscribe(old).status, 500);
}

TEST_F(SubscriptionsTest, ASubscriptionOfAnEarlierIncarnationKeepsWhatTheNewOneDoesNotCover) {
  const std::string old = subscribe("key=a&key=b");
  gateway_->set_app("shop", true, 2);
  const std::string renewed = subscribe("key=a");

  write(R"({"a":"2","b":"2"})");
  wait_for_told(2);
  settle();

  EXPECT_THAT(told_, SizeIs(2));
  EXPECT_EQ(told_under(old), 1U);
  EXPECT_EQ(told_under(renewed), 1U);
}

TEST_F(SubscriptionsTest, AppsAreToldEachForItself) {
  gateway_->set_app("till");
  subscribe("key=a");
  subscribe("key=a", "till");

  write(R"({"a":"2"})");
  wait_for_told(2);

  EXPECT_NE(told_[0].app, told_[1].app);
}

TEST_F(SubscriptionsTest, ThereIsALimitPerAppAndEarlierIncarnationsMakeRoom) {
  gateway_->set_app("till");
  for (std::size_t i = 0; i < kMaxSubscriptions; ++i) subscribe("key=k" + std::to_string(i));

  const auto refused = get("/v1.0/configuration/flags/subscribe", "key=one-more");
  const auto of_another_app = get("/v1.0/configuration/flags/subscribe", "key=a", "till");
  gateway_->set_app("shop", true, 2);
  const auto after_restart = get("/v1.0/configuration/flags/subscribe", "key=one-more");

  EXPECT_EQ(refused.status, 500);
  EXPECT_THAT(refused.body, HasSubstr("ERR_CONFIGURATION_SUBSCRIBE"));
  EXPECT_THAT(refused.body, HasSubstr("app 'shop' would have 101 subscriptions; 100 is the most"));
  EXPECT_EQ(of_another_app.status, 200);
  EXPECT_EQ(after_restart.status, 200);
}

TEST_F(SubscriptionsTest, TheKeysOfAllSubscriptionsOfAnAppAreLimited) {
  std::string answer;
  for (int i = 0; i < 30; ++i) {
    std::string query;
    for (std::size_t k = 0; k < kMaxNamedKeys; ++k) query += fmt::format("key=k{}-{}&", i, k);
    const auto subscribed = get("/v1.0/configuration/flags/subscribe", query);
    if (subscribed.status != 200) {
      EXPECT_EQ(i, 20);
      answer = subscribed.body;
      break;
    }
  }

  EXPECT_THAT(answer, HasSubstr("app 'shop' would have 21000 subscribed keys; 20000 is the most"));
}

TEST_F(SubscriptionsTest, AStoreThatComesBackIsReadAndCompared) {
  subscribe();
  const auto components = std::exchange(generation_.components, {});
  configure();
  write(R"({"a":"2","b":"1"})");
  settle();
  EXPECT_THAT(told_, IsEmpty());

  generation_.components = components;
  configure();
  wait_for_told(1);
  settle();

  EXPECT_THAT(told_keys(), ElementsAre("a"));
}

TEST_F(SubscriptionsTest, AnAppThatMayNotSeeTheStoreAnyMoreIsNotTold) {
  subscribe("key=a");
  generation_.components[0].scopes = {"till"};
  configure();

  write(R"({"a":"2"})");
  settle();

  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(SubscriptionsTest, ADamagedLogIsMovedAsideAndSubscribingWorks) {
  stop();
  const auto data = directory_.path() / "data";
  for (const char* const name : {"subscriptions.db-wal", "subscriptions.db-shm"}) std::filesystem::remove(data / name);
  std::ofstream(data / "subscriptions.db", std::ios::trunc) << std::string(8192, 'x');

  start();
  const std::string id = subscribe("key=a");
  write(R"({"a":"2"})");
  wait_for_told(1);

  EXPECT_EQ(told_under(id), 1U);
  const auto moved = [](const auto& entry) { return entry.path().string().find(".damaged-") != std::string::npos; };
  EXPECT_TRUE(std::ranges::any_of(std::filesystem::directory_iterator(data), moved));
}

TEST_F(SubscriptionsTest, ALogThatCannotBeOpenedIsAnErrorThatNamesIt) {
  stop();
  const auto path = directory_.path() / "data" / "subscriptions.db";
  for (const char* const suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
  std::filesystem::create_directory(path);

  start();
  caisson::testing::Ask ask;
  ask.path = "/v1.0/configuration/flags/subscribe";
  std::string answer;
  struct Keep {
    static Task<void> body(Task<Result<Reply>> asking, std::string& to) {
      auto reply = co_await std::move(asking);
      to = reply ? std::string(reply->head.payload()) : reply.error().message;
    }
  };
  TaskScope scope(loop_);
  scope.spawn(Keep::body(gateway_->send(ask), answer));
  EXPECT_EQ(get("/v1.0/configuration/flags").status, 200);
  wait_until([&] {
    advance(1s);
    return !answer.empty();
  });

  EXPECT_THAT(answer, HasSubstr("ERR_CONFIGURATION_SUBSCRIBE"));
  EXPECT_THAT(answer, HasSubstr("subscriptions.db"));
}

TEST_F(SubscriptionsTest, DrainingLetsWhatIsUnderWayEndAndBeNoted) {
  subscribe("key=a");
  hold_ = true;
  write(R"({"a":"2"})");
  wait_for_told(1);
  TaskScope scope(loop_);
  scope.spawn(gateway_->process().drain(loop_.deadline_in(5s)));
  settle();
  write(R"({"a":"3"})");
  settle();
  hold_ = false;
  released_.wake_all();
  settle();
  EXPECT_THAT(told_, SizeIs(1));
  advance(10s);
  wait_until([&] { return scope.empty(); });

  start();
  wait_for_told(2);
  settle();

  EXPECT_THAT(told_, SizeIs(2));
  EXPECT_THAT(told_[1].body, HasSubstr(R"("value":"3")"));
}

TEST(UpdatePathTest, WhatMayNotStandInAPathIsEncoded) {
  EXPECT_EQ(update_path("flags", "a/b:c"), "/configuration/flags/a/b:c");
  EXPECT_EQ(update_path("fl ags", "a?b#c%d\r\n\xC3\xA9"), "/configuration/fl%20ags/a%3Fb%23c%25d%0D%0A%C3%A9");
}

TEST(FingerprintTest, EveryFieldCountsAndWhereItEnds) {
  const std::vector<Item> items = {{"ab", "c", {}}, {"a", "bc", {}},         {"abc", "", {}},
                                   {"", "abc", {}}, {"a", "b", {{"c", ""}}}, {"a", "b", {{"", "c"}}}};
  for (const Item& one : items) {
    for (const Item& other : items) EXPECT_EQ(fingerprint_of(one) == fingerprint_of(other), &one == &other);
  }
}

}  // namespace
}  // namespace caisson::items
