#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

#include "capabilities/config/items/redis_store.hpp"
#include "capabilities/config/items/testing/items_rig.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::items {
namespace {

using redis::testing::RedisServer;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace std::chrono_literals;

TEST(RedisLayoutTest, AValueIsWhatStandsBeforeTheSeparatorAndTheVersionAfterIt) {
  EXPECT_EQ(parse_redis_value("1||v2"), (Item{"1", "v2", {}}));
  EXPECT_EQ(parse_redis_value("1"), (Item{"1", "", {}}));
  EXPECT_EQ(parse_redis_value("1|2||"), (Item{"1|2", "", {}}));
  EXPECT_EQ(parse_redis_value("1||v||w"), (Item{"1", "v", {}}));
  EXPECT_EQ(parse_redis_value("||v"), (Item{"", "v", {}}));
  EXPECT_EQ(parse_redis_value(""), Item());
}

TEST(RedisNotificationsTest, WhatTheServerSendsAlreadyIsKept) {
  EXPECT_EQ(with_needed_notifications(""), "Kg$xe");
  EXPECT_EQ(with_needed_notifications("El"), "ElKg$xe");
  EXPECT_EQ(with_needed_notifications("AE"), "AEK");
  EXPECT_EQ(with_needed_notifications("AKE"), std::nullopt);
  EXPECT_EQ(with_needed_notifications("xeg$K"), std::nullopt);
}

/// A store over a real server, and what a watch of it was told.
class RedisStoreTest : public ::testing::Test {
 protected:
  void open(redis::Settings settings, Nanos poll_interval = 1h) {
    store_ = std::make_shared<RedisStore>(loop_, RedisStore::Options{std::move(settings), poll_interval},
                                          [this] { ++changes_; });
    const auto ready = caisson::testing::run(loop_, store_->ready(loop_.deadline_in(20s)));
    ASSERT_TRUE(ready) << ready.error().message;
  }
  void watch(const std::vector<std::string>& keys = {}) {
    watch_ = store_->watch(keys, [this](std::optional<std::string> key) { hints_.push_back(key.value_or("(any)")); });
    wait_for("(any)");
    hints_.clear();
  }
  void wait_until(const std::function<bool()>& done) { caisson::testing::run_until(loop_, done); }
  void wait_for(const std::string& hint) {
    wait_until([&] { return std::ranges::find(hints_, hint) != hints_.end(); });
  }
  Result<Items> get(const std::vector<std::string>& keys = {}) {
    return caisson::testing::run(loop_, store_->get(keys, loop_.deadline_in(20s)));
  }
  redis::Settings settings_of(std::uint16_t port) {
    redis::Settings settings = server_.settings();
    settings.addresses[0].port = port;
    return settings;
  }

  RedisServer server_;
  SystemClock clock_;
  EventLoop loop_{clock_};
  int changes_ = 0;
  std::vector<std::string> hints_;
  std::shared_ptr<RedisStore> store_;
  std::unique_ptr<Watch> watch_;
};

TEST_F(RedisStoreTest, KeysOfOtherTypesOfOtherDatabasesAndTooLongOnesAreNoItems) {
  server_.command({"SET", "a", "1||v1"});
  server_.command({"HSET", "hash", "f", "1"});
  server_.command({"SET", std::string(kMaxKeyLength + 1, 'k'), "1"});
  server_.command({"SET", "elsewhere", "1"}, 1);
  open(server_.settings());

  EXPECT_EQ(*get(), (Items{{"a", {"1", "v1", {}}}}));
  EXPECT_THAT(*get({"hash", "elsewhere"}), IsEmpty());
}

TEST_F(RedisStoreTest, TheDatabaseOfTheSettingsIsReadAndHeard) {
  redis::Settings settings = server_.settings();
  settings.database = 2;
  open(settings);
  watch({"a"});

  server_.command({"SET", "a", "0"}, 0);
  server_.command({"SET", "a", "2"}, 2);
  wait_for("a");

  EXPECT_EQ(*get({"a"}), (Items{{"a", {"2", "", {}}}}));
  EXPECT_EQ(hints_.size(), 1U);
}

TEST_F(RedisStoreTest, TooManyBytesAreRefused) {
  open(server_.settings());
  server_.command({"SET", "a", std::string(kMaxItemBytes / 2, 'x')});
  server_.command({"SET", "b", std::string(kMaxItemBytes / 2, 'x')});

  const auto answer = get();

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kResourceExhausted);
  EXPECT_TRUE(get({"a"}));
}

TEST_F(RedisStoreTest, TheNotificationsOfOthersStayOn) {
  server_.command({"CONFIG", "SET", "notify-keyspace-events", "El"});
  open(server_.settings());
  watch();

  const std::string flags = server_.command({"CONFIG", "GET", "notify-keyspace-events"}).items.at(1).text;

  for (const char flag : std::string("ElKg$xe")) EXPECT_THAT(flags, HasSubstr(std::string(1, flag)));
  EXPECT_EQ(store_->note(), "");
}

TEST_F(RedisStoreTest, SetDeletedExpiredAndRenamedKeysAreHeard) {
  open(server_.settings());
  watch({"a", "b"});

  server_.command({"SET", "a", "1"});
  wait_for("a");
  hints_.clear();
  server_.command({"DEL", "a"});
  wait_for("a");
  server_.command({"SET", "c", "1"});
  hints_.clear();
  server_.command({"RENAME", "c", "a"});
  wait_for("a");
  server_.command({"SET", "b", "1"});
  wait_for("b");
  hints_.clear();
  server_.command({"PEXPIRE", "b", "1"});
  wait_until([&] { return get({"b"})->empty() && !hints_.empty(); });

  EXPECT_THAT(hints_, Contains("b"));
}

TEST_F(RedisStoreTest, FlushallIsSeenThoughNobodyIsToldOfIt) {
  server_.command({"SET", "a", "1"});
  open(server_.settings(), 10ms);
  watch({"a"});
  wait_until([&] { return store_->note().empty(); });

  server_.command({"FLUSHALL"});
  hints_.clear();

  wait_for("(any)");
  EXPECT_THAT(*get({"a"}), IsEmpty());
}

TEST_F(RedisStoreTest, WhereConfigSetIsRefusedWatchedKeysArePolledAndTheNoteSaysWhy) {
  server_.command({"ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config"});
  redis::Settings settings = server_.settings();
  settings.username = "app";
  settings.password = "secret";
  open(settings, 20ms);
  watch({"a"});

  wait_until([&] { return !store_->note().empty(); });
  EXPECT_THAT(store_->note(), StartsWith("changes are looked for every 20 ms: NOPERM"));
  EXPECT_THAT(store_->note(), ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(store_->down_reason(), std::nullopt);
  for (int round = 0; round < 3; ++round) {
    hints_.clear();
    wait_for("(any)");
  }
  // As soon as it may, it listens.
  server_.command({"ACL", "SETUSER", "app", "+config"});
  wait_until([&] { return store_->note().empty(); });
  hints_.clear();
  server_.command({"SET", "a", "1"});
  wait_for("a");
}

TEST_F(RedisStoreTest, WhereTheChannelsAreForbiddenWatchedKeysArePolled) {
  server_.command({"ACL", "SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all"});
  redis::Settings settings = server_.settings();
  settings.username = "app";
  settings.password = "secret";
  open(settings, 20ms);
  watch();

  wait_until([&] { return !store_->note().empty(); });
  EXPECT_THAT(store_->note(), HasSubstr("NOPERM"));
  hints_.clear();
  wait_for("(any)");
}

TEST_F(RedisStoreTest, NotificationsThatSomebodyTurnsOffAreTurnedOnAgain) {
  open(server_.settings(), 10ms);
  watch({"a"});

  server_.command({"CONFIG", "SET", "notify-keyspace-events", ""});

  wait_until([&] { return !server_.command({"CONFIG", "GET", "notify-keyspace-events"}).items.at(1).text.empty(); });
}

TEST_F(RedisStoreTest, ALostConnectionAndARestartedServerLeaveTheWatchHearing) {
  redis::testing::Proxy proxy(server_.port());
  open(settings_of(proxy.port()));
  watch({"a"});

  proxy.cut();
  wait_for("(any)");
  hints_.clear();
  server_.command({"SET", "a", "1"});
  wait_for("a");

  hints_.clear();
  server_.restart();
  wait_for("(any)");
  hints_.clear();
  server_.command({"SET", "a", "2"});
  wait_for("a");
}

TEST_F(RedisStoreTest, ASilentServerIsAnErrorByTheDeadlineAndShownAsDown) {
  redis::Settings settings = server_.settings();
  settings.read_timeout = 200ms;
  open(settings);
  server_.pause();

  const auto answer = caisson::testing::run(loop_, store_->get({"a"}, loop_.deadline_in(100ms)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kDeadlineExceeded);
  wait_until([&] { return store_->down_reason().has_value(); });
  server_.resume();
  wait_until([&] { return !store_->down_reason(); });
}

/// The whole API over a real server.
class RedisConfigurationTest : public testing::ItemsRigOn<SystemClock> {
 protected:
  RedisConfigurationTest() {
    config::Component redis;
    redis.name = "redis";
    redis.type = "configuration.redis";
    redis.version = "v1";
    redis.metadata.push_back({"redisHost", fmt::format("127.0.0.1:{}", proxy_.port()), {}, {}, {}});
    redis.metadata.push_back({"pollInterval", "10ms", {}, {}, {}});
    generation_.components = {redis};
    configure();
  }
  void subscribe_redis(const std::string& query = {}) {
    const auto answer = get("/v1.0/configuration/redis/subscribe", query);
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  /// The items of what was told, from '{' on: {"a":{…}}.
  std::vector<std::string> told_items() const {
    std::vector<std::string> items;
    for (const auto& told : told_) items.push_back(told.body.substr(told.body.find("\"items\":") + 8));
    return items;
  }

  RedisServer server_;
  redis::testing::Proxy proxy_{server_.port()};
};

TEST_F(RedisConfigurationTest, ItemsAreReadWithTheirVersions) {
  server_.command({"MSET", "a", "1||v1", "b", "2"});

  EXPECT_EQ(get("/v1.0/configuration/redis").body, R"({"a":{"value":"1","version":"v1"},"b":{"value":"2"}})");
  EXPECT_EQ(get("/v1.0/configuration/redis", "key=none").status, 204);
}

TEST_F(RedisConfigurationTest, DeletedExpiredAndFlushedKeysAreToldWithEmptyFields) {
  server_.command({"MSET", "a", "1||v1", "b", "1", "c", "1"});
  subscribe_redis("key=a&key=b&key=c");

  server_.command({"DEL", "a"});
  wait_for_told(1);
  server_.command({"PEXPIRE", "b", "1"});
  wait_for_told(2);
  server_.command({"FLUSHALL"});
  wait_for_told(3);

  EXPECT_THAT(told_items(), ::testing::ElementsAre(R"({"a":{}}})", R"({"b":{}}})", R"({"c":{}}})"));
}

TEST_F(RedisConfigurationTest, ConnectionsLostDuringUpdatesLoseNoLastValueAndTellNothingTwice) {
  subscribe_redis();
  constexpr int kKeys = 20;
  for (int change = 0; change < 400; ++change) {
    server_.command({"SET", fmt::format("key{}", change % kKeys), fmt::format("{}||v{}", change, change)});
    if (change % 50 == 25) proxy_.cut();
    loop_.turn(Nanos::zero());
  }

  const auto has_last_of_all = [&] {
    std::set<std::string> last;
    for (const std::string& items : told_items()) {
      for (int change = 400 - kKeys; change < 400; ++change) {
        if (items.find(fmt::format("\"version\":\"v{}\"", change)) != std::string::npos) last.insert(items);
      }
    }
    return last.size() == kKeys;
  };
  wait_until(has_last_of_all);
  settle();

  std::vector<std::string> items = told_items();
  std::ranges::sort(items);
  EXPECT_EQ(std::ranges::adjacent_find(items), items.end());
}

TEST_F(RedisConfigurationTest, WhatChangesWhileTheServerIsOutOfReachIsToldWhenItIsBack) {
  server_.command({"MSET", "a", "1", "b", "1"});
  subscribe_redis();
  proxy_.refuse();
  proxy_.cut();
  gateway_->wait_for_status(
      [](const sdk::Status& status) { return status.components[0].state == sdk::ComponentState::kDown; });

  server_.command({"SET", "a", "2"});
  server_.command({"DEL", "b"});
  proxy_.forward();
  wait_for_told(2);
  settle();

  EXPECT_THAT(told_items(), ::testing::UnorderedElementsAre(R"({"a":{"value":"2"}}})", R"({"b":{}}})"));
}

TEST_F(RedisConfigurationTest, AServerThatIsAwayIsAnErrorAndThenServesAgain) {
  proxy_.refuse();
  proxy_.cut();
  gateway_->wait_for_status([](const sdk::Status& status) {
    return status.components[0].state == sdk::ComponentState::kDown && !status.components[0].reason.empty();
  });

  config::Component wrong = generation_.components[0];
  wrong.name = "wrong";
  wrong.metadata[1].value = "1ms";
  generation_.components.push_back(wrong);
  configure();
  EXPECT_THAT(get("/v1.0/configuration/wrong").body, HasSubstr("pollInterval"));

  proxy_.forward();
  wait_until([&] { return get("/v1.0/configuration/redis").status == 204; });
}

}  // namespace
}  // namespace caisson::items
