#include "capabilities/state/redis_store.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/task_scope.hpp"
#include "bus/testing/run.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::state {
namespace {

using namespace std::chrono_literals;
using redis::testing::Proxy;
using redis::testing::RedisServer;
using Fields = std::map<std::string, std::string>;
using Written = Result<std::vector<WriteResult>>;

Write set_of(std::string key, std::string value, std::string if_match = {}) {
  Write write;
  write.key = std::move(key);
  write.value = std::move(value);
  write.if_match = std::move(if_match);
  return write;
}

Write delete_of(std::string key, std::string if_match = {}) {
  Write write = set_of(std::move(key), {}, std::move(if_match));
  write.kind = ChangeKind::kDelete;
  return write;
}

Write strong_set_of(std::string key, std::string value) {
  Write write = set_of(std::move(key), std::move(value));
  write.strong = true;
  return write;
}

/// What a store promises is in store_conformance_test.cpp; here is what only Redis has.
class RedisStoreTest : public ::testing::Test {
 protected:
  Deadline soon() { return loop_.deadline_in(20s); }

  std::unique_ptr<Store> open(redis::Settings settings) {
    auto opened = testing::run(loop_, RedisStore::open(
                                          loop_, std::move(settings), [] {}, soon()));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return opened ? *std::move(opened) : nullptr;
  }
  std::unique_ptr<Store> open(const Proxy& proxy) {
    redis::Settings settings;
    settings.addresses = {{"127.0.0.1", proxy.port()}};
    settings.read_timeout = 300ms;
    return open(std::move(settings));
  }
  Written execute(Store& store, std::vector<Write> writes, bool atomic = false, RequestId request = {}) {
    Batch batch{request, atomic, std::move(writes)};
    return testing::run(loop_, store.write(std::move(batch), soon()));
  }
  /// One write that has to go well; its etag.
  std::string write(Store& store, Write write, RequestId request = {}) {
    const auto results = execute(store, {std::move(write)}, false, request);
    EXPECT_TRUE(results) << (results ? "" : results.error().message);
    if (!results) return "(failed)";
    EXPECT_EQ(results->front().code, Errc::kOk) << results->front().text;
    return results->front().text;
  }
  Result<std::optional<Entry>> get(Store& store, const std::string& key) {
    return testing::run(loop_, store.get(key, soon()));
  }
  std::string value_of(Store& store, const std::string& key) {
    const auto entry = get(store, key);
    if (!entry) return "(error: " + entry.error().message + ")";
    return *entry ? (*entry)->value : "(missing)";
  }
  static Fields hash(RedisServer& server, const std::string& key) {
    const redis::Reply reply = server.command({"HGETALL", key});
    Fields fields;
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) fields[reply.items[i].text] = reply.items[i + 1].text;
    return fields;
  }
  void until(const std::function<bool()>& done) { testing::run_until(loop_, done); }

  SystemClock clock_;
  EventLoop loop_{clock_};
};

// --- layout ---

TEST_F(RedisStoreTest, ValuesLieAsDaprLaysThem) {
  RedisServer server;
  const auto store = open(server.settings());

  EXPECT_EQ(write(*store, set_of("shop||cart", R"({"n":1})")), "1");
  EXPECT_EQ(write(*store, set_of("shop||cart", R"({"n":2})")), "2");

  EXPECT_EQ(hash(server, "shop||cart"), (Fields{{"data", R"({"n":2})"}, {"version", "2"}}));
}

TEST_F(RedisStoreTest, AFirstWriteIsMarkedAsDaprMarksIt) {
  RedisServer server;
  const auto store = open(server.settings());
  Write first = set_of("k", "1");
  first.first_write = true;

  write(*store, std::move(first));

  EXPECT_EQ(hash(server, "k"), (Fields{{"data", "1"}, {"version", "1"}, {"first-write", "0"}}));
}

TEST_F(RedisStoreTest, WhatDaprWroteIsReadAndWrittenUnderItsEtag) {
  RedisServer server;
  const auto store = open(server.settings());
  server.command({"HSET", "k", "data", "\"theirs\""});
  server.command({"HINCRBY", "k", "version", "41"});

  const auto entry = get(*store, "k");
  ASSERT_TRUE(entry && *entry);
  EXPECT_EQ((*entry)->value, "\"theirs\"");
  EXPECT_EQ((*entry)->etag, "41");
  EXPECT_EQ(write(*store, set_of("k", "\"ours\"", "41")), "42");
  EXPECT_EQ(hash(server, "k"), (Fields{{"data", "\"ours\""}, {"version", "42"}}));
}

TEST_F(RedisStoreTest, APlainStringIsAValueWithoutAnEtag) {
  RedisServer server;
  const auto store = open(server.settings());
  for (const std::string key : {"a", "b", "c"}) server.command({"SET", key, "plain"});

  const auto entry = get(*store, "a");
  const auto refused = execute(*store, {set_of("a", "1", "1"), delete_of("a", "1")});

  ASSERT_TRUE(entry && *entry);
  EXPECT_EQ((*entry)->value, "plain");
  EXPECT_EQ((*entry)->etag, "");
  EXPECT_EQ((*refused)[0].code, Errc::kAborted);
  EXPECT_EQ((*refused)[1].code, Errc::kAborted);
  EXPECT_EQ(write(*store, set_of("b", "1")), "1");
  write(*store, delete_of("c"));
  EXPECT_EQ(value_of(*store, "b") + value_of(*store, "c"), "1(missing)");
}

TEST_F(RedisStoreTest, WhatIsNoStateIsAnErrorToReadAndCanBeOverwritten) {
  RedisServer server;
  const auto store = open(server.settings());
  server.command({"HSET", "hash", "data", "1"});
  server.command({"RPUSH", "list", "1"});
  server.command({"HSET", "odd", "data", "1", "version", "not a number"});

  for (const std::string key : {"hash", "list"}) {
    const auto entry = get(*store, key);
    ASSERT_FALSE(entry);
    EXPECT_EQ(entry.error().code, Errc::kInternal);
  }
  for (const std::string key : {"hash", "list", "odd"}) {
    EXPECT_EQ(write(*store, set_of(key, "2")), "1");
    EXPECT_EQ(value_of(*store, key), "2");
  }
}

TEST_F(RedisStoreTest, TheTimeToLiveIsTheKeys) {
  RedisServer server;
  const auto store = open(server.settings());
  Write session = set_of("session", "1");
  session.ttl_seconds = 100;

  write(*store, std::move(session));
  const std::int64_t with = server.command({"TTL", "session"}).integer;
  write(*store, set_of("session", "2"));

  EXPECT_GT(with, 90);
  EXPECT_LE(with, 100);
  EXPECT_EQ(server.command({"TTL", "session"}).integer, -1);
}

TEST_F(RedisStoreTest, ManyKeysAreReadTogether) {
  RedisServer server;
  const auto store = open(server.settings());
  write(*store, set_of("a", "1"));
  server.command({"SET", "b", "plain"});
  server.command({"RPUSH", "c", "list"});

  const auto found = testing::run(loop_, store->get_many({"a", "b", "none", "c", "a"}, soon()));

  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ((*found[0])->value, "1");
  EXPECT_EQ((*found[1])->value, "plain");
  EXPECT_FALSE(*found[2]);
  EXPECT_FALSE(found[3]);
  EXPECT_EQ((*found[4])->etag, "1");
}

// --- etags ---

TEST_F(RedisStoreTest, AnEtagThatIsNoNumberIsAnInvalidArgumentOfItsWriteAlone) {
  RedisServer server;
  const auto store = open(server.settings());

  const auto bulk = execute(*store, {set_of("a", "1"), set_of("b", "2", "x"), delete_of("c", "0x1")});
  const auto atomic = execute(*store, {set_of("d", "1"), set_of("e", "2", "x")}, /*atomic=*/true);

  ASSERT_TRUE(bulk && atomic);
  EXPECT_EQ((*bulk)[0].code, Errc::kOk);
  EXPECT_EQ((*bulk)[1].code, Errc::kInvalidArgument);
  EXPECT_EQ((*bulk)[2].code, Errc::kInvalidArgument);
  EXPECT_EQ((*atomic)[0].code, Errc::kCancelled);
  EXPECT_EQ((*atomic)[1].code, Errc::kInvalidArgument);
  EXPECT_EQ(value_of(*store, "a") + value_of(*store, "d"), "1(missing)");
}

TEST_F(RedisStoreTest, AnEtagIsComparedAsANumber) {
  RedisServer server;
  const auto store = open(server.settings());
  for (int i = 0; i < 7; ++i) write(*store, set_of("k", "1"));

  EXPECT_EQ(write(*store, set_of("k", "2", "007")), "8");
}

// --- what can happen to a server ---

TEST_F(RedisStoreTest, TheScriptIsSentOnceAndKnownByItsHash) {
  RedisServer server;
  const auto store = open(server.settings());
  for (int i = 0; i < 5; ++i) write(*store, set_of("k", "1"));

  const std::string commands = server.command({"INFO", "commandstats"}).text;

  EXPECT_NE(commands.find("cmdstat_eval:calls=1,"), std::string::npos) << commands;
  EXPECT_NE(commands.find("cmdstat_evalsha:calls=5,"), std::string::npos) << "the hash is not the script's";
}

TEST_F(RedisStoreTest, AServerThatForgotTheScriptIsToldItAgain) {
  RedisServer server;
  const auto store = open(server.settings());
  write(*store, set_of("k", "1"));

  server.command({"SCRIPT", "FLUSH"});

  EXPECT_EQ(write(*store, set_of("k", "2")), "2");
}

TEST_F(RedisStoreTest, AServerThatIsAwayIsTheReasonOpeningFails) {
  RedisServer server;
  server.kill();

  const auto opened = testing::run(loop_, RedisStore::open(
                                              loop_, server.settings(), [] {}, loop_.deadline_in(100ms)));

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kUnavailable);
  EXPECT_NE(opened.error().message.find("refused"), std::string::npos) << opened.error().message;
}

TEST_F(RedisStoreTest, AServerWithoutMemoryRefusesAndLosesNothing) {
  RedisServer server;
  const auto store = open(server.settings());
  write(*store, set_of("kept", "1"));
  write(*store, set_of("gone", "1"));
  server.command({"CONFIG", "SET", "maxmemory", "1"});

  const auto refused = execute(*store, {set_of("kept", "2"), delete_of("gone")}, false, {7, 1, 1});

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kResourceExhausted);
  server.command({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(value_of(*store, "kept") + value_of(*store, "gone"), "11");
  EXPECT_EQ(write(*store, set_of("kept", "2")), "2");
}

TEST_F(RedisStoreTest, AUserWhoMayNotWriteIsTold) {
  RedisServer server({.users = {"user reader on >secret ~* +@read +ping"}});
  redis::Settings settings = server.settings();
  settings.username = "reader";
  settings.password = "secret";
  const auto store = open(settings);

  const auto refused = execute(*store, {set_of("k", "1")});

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kPermissionDenied);
  EXPECT_EQ(value_of(*store, "k"), "(missing)");
}

TEST_F(RedisStoreTest, AWriteWithoutAnIdentityWhoseAnswerIsLostIsUnknown) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto store = open(proxy);
  write(*store, set_of("k", "1"));

  proxy.swallow_replies();
  const auto lost = execute(*store, {set_of("k", "2")});
  proxy.forward();

  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kUnknown);
  EXPECT_EQ(hash(server, "k"), (Fields{{"data", "2"}, {"version", "2"}})) << "and was not sent again";
}

TEST_F(RedisStoreTest, AWriteWithAnIdentityWhoseAnswerIsLostIsAskedForAgain) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto store = open(proxy);
  const std::string etag = write(*store, set_of("k", "1"));
  std::optional<Written> written;
  TaskScope scope(loop_);
  struct Later {
    static Task<void> write(Store& store, Batch batch, Deadline deadline, std::optional<Written>& written) {
      auto task = store.write(std::move(batch), deadline);
      auto result = co_await std::move(task);
      written.emplace(std::move(result));
    }
  };

  proxy.swallow_replies();
  scope.spawn(Later::write(*store, Batch{{7, 1, 1}, false, {set_of("k", "2", etag)}}, soon(), written));
  until([&] { return hash(server, "k")["data"] == "2"; });
  proxy.cut();
  proxy.forward();
  until([&] { return written.has_value(); });

  ASSERT_TRUE(*written) << written->error().message;
  EXPECT_EQ((**written)[0].code, Errc::kOk) << "its own success is no conflict";
  EXPECT_EQ((**written)[0].text, "2");
  EXPECT_EQ(hash(server, "k")["version"], "2");
}

/// One after the other, each under the etag that the one before was answered with.
Task<void> write_chain(EventLoop& loop, Store& store, std::uint32_t slot, int length, int& done, std::string& trouble) {
  std::string etag;
  for (int i = 1; i <= length; ++i) {
    Batch batch{{7, static_cast<std::uint64_t>(i), slot}, false, {}};
    batch.writes.push_back(set_of("chain" + std::to_string(slot), std::to_string(i), etag));
    auto task = store.write(std::move(batch), loop.deadline_in(20s));
    const auto written = co_await std::move(task);
    if (!written || written->front().code != Errc::kOk) {
      trouble = written ? written->front().text : written.error().message;
      co_return;
    }
    etag = written->front().text;
    ++done;
  }
}

TEST_F(RedisStoreTest, NothingAcknowledgedIsLostAndNobodyIsToldWrongWhenTheServerRestarts) {
  RedisServer server({.append_only = true});
  const auto store = open(server.settings());
  constexpr int kChains = 8;
  constexpr int kLength = 300;
  int done = 0;
  std::string trouble;
  TaskScope scope(loop_);
  for (std::uint32_t slot = 1; slot <= kChains; ++slot) {
    scope.spawn(write_chain(loop_, *store, slot, kLength, done, trouble));
  }

  for (const int at : {100, 800, 1600}) {
    until([&] { return done >= at || !trouble.empty(); });
    server.restart();
  }
  until([&] { return scope.empty(); });

  EXPECT_EQ(trouble, "");
  EXPECT_EQ(done, kChains * kLength);
  for (int slot = 1; slot <= kChains; ++slot) {
    EXPECT_EQ(hash(server, "chain" + std::to_string(slot)),
              (Fields{{"data", std::to_string(kLength)}, {"version", std::to_string(kLength)}}));
  }
}

TEST_F(RedisStoreTest, AReadIsAskedAgainWhenTheConnectionBreaks) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto store = open(proxy);
  write(*store, set_of("k", "1"));
  std::optional<Result<std::optional<Entry>>> read;
  TaskScope scope(loop_);
  struct Later {
    static Task<void> get(Store& store, Deadline deadline, std::optional<Result<std::optional<Entry>>>& read) {
      auto task = store.get("k", deadline);
      auto result = co_await std::move(task);
      read.emplace(std::move(result));
    }
  };

  proxy.swallow();
  scope.spawn(Later::get(*store, soon(), read));
  until([&] { return store->down_reason().has_value(); });
  proxy.forward();
  until([&] { return read.has_value(); });

  ASSERT_TRUE(*read && **read);
  EXPECT_EQ((**read)->value, "1");
}

// --- the ledger ---

TEST_F(RedisStoreTest, TheLedgerIsOneHashPerGatewayThatEndsByItself) {
  RedisServer server;
  const auto store = open(server.settings());

  write(*store, set_of("a", "1"), {0xAB, 5, 3});
  (void)execute(*store, {set_of("a", "1", "99"), delete_of("b")}, false, {0xAB, 6, 4});

  EXPECT_EQ(hash(server, "caisson:ledger:00000000000000ab"),
            (Fields{{"3", "00000000000000000005 1"}, {"4", "00000000000000000006 ! d"}}));
  EXPECT_GT(server.command({"TTL", "caisson:ledger:00000000000000ab"}).integer, 80'000);
}

TEST_F(RedisStoreTest, AWriteWithoutAnIdentityLeavesNoTraceInALedger) {
  RedisServer server;
  const auto store = open(server.settings());

  write(*store, set_of("a", "1"));

  EXPECT_EQ(server.command({"DBSIZE"}).integer, 1);
}

TEST_F(RedisStoreTest, ALedgerThatIsSomethingElseRefusesTheWrite) {
  RedisServer server;
  const auto store = open(server.settings());
  server.command({"SET", "caisson:ledger:0000000000000007", "x"});

  const auto refused = execute(*store, {set_of("a", "1")}, false, {7, 1, 1});

  EXPECT_FALSE(refused);
  EXPECT_EQ(value_of(*store, "a"), "(missing)");
}

// --- strong writes ---

TEST_F(RedisStoreTest, AStrongWriteWithoutReplicasIsAWrite) {
  RedisServer server;
  const auto store = open(server.settings());

  EXPECT_EQ(write(*store, strong_set_of("k", "1")), "1");
}

TEST_F(RedisStoreTest, AStrongWriteIsWithTheReplicasWhenItIsAcknowledged) {
  RedisServer server;
  RedisServer replica({.replica_of = server.port()});
  until([&] { return server.command({"INFO", "replication"}).text.find("state=online") != std::string::npos; });
  const auto store = open(server.settings());

  for (int i = 1; i <= 20; ++i) {
    write(*store, strong_set_of("k", std::to_string(i)), {7, static_cast<std::uint64_t>(i), 1});
    EXPECT_EQ(hash(replica, "k")["data"], std::to_string(i));
  }
}

TEST_F(RedisStoreTest, AStrongWriteThatAReplicaDoesNotHaveIsUnknownAndHoldsUpNobody) {
  RedisServer server;
  RedisServer replica({.replica_of = server.port()});
  until([&] { return server.command({"INFO", "replication"}).text.find("state=online") != std::string::npos; });
  const auto store = open(server.settings());
  write(*store, strong_set_of("k", "1"));
  replica.pause();
  std::optional<Written> written;
  TaskScope scope(loop_);
  struct Later {
    static Task<void> write(Store& store, Batch batch, Deadline deadline, std::optional<Written>& written) {
      auto task = store.write(std::move(batch), deadline);
      auto result = co_await std::move(task);
      written.emplace(std::move(result));
    }
  };

  scope.spawn(Later::write(*store, Batch{{}, false, {strong_set_of("k", "2")}}, soon(), written));
  until([&] { return hash(server, "k")["data"] == "2"; });
  write(*store, set_of("other", "1"));

  EXPECT_FALSE(written) << "an eventual write does not wait behind a strong one";
  until([&] { return written.has_value(); });
  ASSERT_FALSE(*written);
  EXPECT_EQ(written->error().code, Errc::kUnknown);
}

}  // namespace
}  // namespace caisson::state
