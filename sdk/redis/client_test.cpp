// Commands and replies, and connections that come and go.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "sdk/redis/testing/client_fixture.hpp"

namespace caisson::redis {
namespace {

using namespace std::chrono_literals;
using testing::ask_later;
using testing::Asked;
using testing::Proxy;
using testing::RedisClientTest;
using testing::RedisServer;

TEST_F(RedisClientTest, ACommandHasItsReply) {
  RedisServer server;
  const auto client = client_of(server.settings());

  EXPECT_EQ(text_of(*client, {"SET", "key", "value"}), "OK");
  EXPECT_EQ(text_of(*client, {"GET", "key"}), "value");
  const auto missing = ask(*client, {"GET", "nothing"});
  ASSERT_TRUE(missing);
  EXPECT_TRUE(missing->is_nil());
}

TEST_F(RedisClientTest, EveryOneOfManyHasItsOwnReply) {
  RedisServer server;
  const auto client = client_of(server.settings());
  std::vector<Asked> asked(2000);
  std::vector<std::string> sent;
  TaskScope scope(loop_);

  for (std::size_t i = 0; i < asked.size(); ++i) {
    sent.push_back(std::to_string(i) + std::string(i % 500 == 0 ? 3'000'000 : i, 'x'));
    scope.spawn(ask_later(*client, {"ECHO", sent.back()}, soon(), asked[i]));
  }
  until([&] { return scope.empty(); });

  for (std::size_t i = 0; i < asked.size(); ++i) {
    ASSERT_TRUE(*asked[i].reply) << asked[i].reply->error().message;
    ASSERT_TRUE((*asked[i].reply)->text == sent[i]) << i;
  }
}

TEST_F(RedisClientTest, CommandsOfOneTurnLeaveInOneWrite) {
  RedisServer server;
  const auto client = client_of(server.settings());
  ASSERT_TRUE(ready(*client));
  const auto reads = [&] {
    const std::string info = server.command({"INFO", "stats"}).text;
    const std::string name = "total_reads_processed:";
    return std::stoi(info.substr(info.find(name) + name.size()));
  };
  std::vector<Asked> asked(500);
  TaskScope scope(loop_);
  const int before = reads();

  for (Asked& one : asked) scope.spawn(ask_later(*client, {"PING"}, soon(), one));
  until([&] { return scope.empty(); });

  EXPECT_LE(reads() - before, 2 + 2);  // 7000 bytes; the question itself is a read or two
}

TEST_F(RedisClientTest, SeveralCommandsStayTogetherAndEachHasAReply) {
  RedisServer server;
  const auto client = client_of(server.settings());
  std::vector<Command> commands = {{"MULTI"}, {"SET", "a", "1"}, {"INCR", "a"}, {"EXEC"}};

  const auto replies = caisson::testing::run(loop_, client->ask_all(std::move(commands), soon()));

  ASSERT_TRUE(replies);
  ASSERT_EQ(replies->size(), 4U);
  ASSERT_EQ((*replies)[3].items.size(), 2U);
  EXPECT_EQ((*replies)[3].items[1].integer, 2);
}

TEST_F(RedisClientTest, AnErrorReplyIsAReply) {
  RedisServer server;
  const auto client = client_of(server.settings());

  const auto reply = ask(*client, {"NOSUCHCOMMAND"});

  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->is_error());
}

TEST_F(RedisClientTest, AServerWithoutMemoryIsResourceExhausted) {
  RedisServer server({.lines = {"maxmemory 1mb", "maxmemory-policy noeviction"}});
  const auto client = client_of(server.settings());

  const auto reply = ask(*client, {"SET", "key", std::string(2U << 20, 'x')});
  const auto next = reply ? ask(*client, {"SET", "key", "x"}) : reply;

  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Errc::kResourceExhausted);
}

// --- connections that come and go ---

TEST_F(RedisClientTest, WithoutAServerACommandFailsAtItsDeadlineWithTheReason) {
  RedisServer server;
  server.kill();
  const auto client = client_of(server.settings());

  const auto reply = ask(*client, {"PING"}, loop_.deadline_in(100ms));
  const auto is_ready = caisson::testing::run(loop_, client->ready(loop_.deadline_in(1ms)));

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnavailable);
  EXPECT_NE(reply.error().message.find("Connection refused"), std::string::npos) << reply.error().message;
  ASSERT_FALSE(is_ready);
  EXPECT_NE(is_ready.error().message.find(std::to_string(server.port())), std::string::npos);
}

TEST_F(RedisClientTest, ACommandWaitsForAServerThatStarts) {
  RedisServer server;
  server.kill();
  const auto client = client_of(server.settings());
  Asked asked;
  TaskScope scope(loop_);
  scope.spawn(ask_later(*client, {"PING"}, soon(), asked));
  until([&] { return client->down_reason()->find("refused") != std::string::npos; });

  server.start();
  until([&] { return asked.done(); });

  EXPECT_EQ((*asked.reply)->text, "PONG");
}

TEST_F(RedisClientTest, ARestartIsToldAndHealed) {
  RedisServer server;
  int connected = 0;
  int changed = 0;
  Client::Hooks hooks;
  hooks.connected = [&] { ++connected; };
  hooks.changed = [&] { ++changed; };
  const auto client = client_of(server.settings(), std::move(hooks));
  ASSERT_TRUE(ready(*client));
  ASSERT_EQ(changed, 1);

  server.kill();
  until([&] { return client->down_reason().has_value(); });
  EXPECT_GE(changed, 2);
  server.start();
  until([&] { return connected == 2; });

  EXPECT_FALSE(client->down_reason());
  EXPECT_EQ(text_of(*client, {"PING"}), "PONG");
}

TEST_F(RedisClientTest, WhatWasSentWhenTheConnectionBrokeIsUnknownAndNotSentAgain) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto client = client_through(proxy);
  ASSERT_EQ(text_of(*client, {"SET", "n", "0"}), "OK");
  Asked asked;
  TaskScope scope(loop_);

  proxy.swallow_replies();
  scope.spawn(ask_later(*client, {"INCR", "n"}, soon(), asked));
  until([&] { return server.command({"GET", "n"}).text == "1"; });
  proxy.cut();
  proxy.forward();
  until([&] { return asked.done(); });

  EXPECT_EQ(asked.code(), Errc::kUnknown);
  EXPECT_EQ(text_of(*client, {"GET", "n"}), "1");
}

TEST_F(RedisClientTest, WhatWasNotSentWaitsForTheNextConnection) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto client = client_through(proxy);
  ASSERT_TRUE(ready(*client));
  proxy.refuse();
  proxy.cut();
  until([&] { return client->down_reason().has_value(); });
  std::vector<Asked> asked(3);
  TaskScope scope(loop_);

  for (Asked& one : asked) scope.spawn(ask_later(*client, {"INCR", "n"}, soon(), one));
  const int seen = proxy.accepted();
  until([&] { return proxy.accepted() > seen + 1; });
  proxy.forward();
  until([&] { return scope.empty(); });

  for (std::size_t i = 0; i < asked.size(); ++i) EXPECT_EQ((*asked[i].reply)->integer, static_cast<int>(i) + 1);
}

TEST_F(RedisClientTest, BytesThatNeverLeftAreNotSentTwiceAndNotLost) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto client = client_through(proxy);
  ASSERT_TRUE(ready(*client));
  server.pause();  // the sockets' buffers fill up: of what was asked last, no byte can leave
  std::vector<Asked> asked(40);
  TaskScope scope(loop_);
  const std::string large(1U << 20, 'x');

  for (Asked& one : asked) scope.spawn(ask_later(*client, {"APPEND", "all", large}, soon(), one));
  until([&] { return client->down_reason().has_value(); });
  server.resume();
  until([&] { return scope.empty(); });

  std::size_t known = 0;
  for (const Asked& one : asked) known += one.code() == Errc::kOk ? 1 : 0;
  const std::size_t unknown = asked.size() - known;
  for (const Asked& one : asked) EXPECT_TRUE(one.code() == Errc::kOk || one.code() == Errc::kUnknown);
  EXPECT_GE(known, 1U) << "those that had not left were executed on the next connection";
  EXPECT_GE(unknown, 1U);
  const auto size = static_cast<std::size_t>(server.command({"STRLEN", "all"}).integer);
  EXPECT_GE(size, known * large.size());
  EXPECT_LE(size, asked.size() * large.size()) << "nothing twice";
}

TEST_F(RedisClientTest, AServerThatFallsSilentIsNoticedAndLeft) {
  RedisServer server;
  Proxy proxy(server.port());
  const auto client = client_through(proxy);
  ASSERT_TRUE(ready(*client));

  proxy.swallow();
  const auto reply = ask(*client, {"PING"});

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnknown);
  proxy.forward();
  EXPECT_EQ(text_of(*client, {"PING"}), "PONG");
}

TEST_F(RedisClientTest, ACommandMayBlockForAsLongAsItSays) {
  RedisServer server;
  Proxy proxy(server.port());
  int connected = 0;
  Client::Hooks hooks;
  hooks.connected = [&] { ++connected; };
  const auto client = client_through(proxy, std::move(hooks));  // cuts after 200 ms of silence

  const auto reply = caisson::testing::run(loop_, client->ask({"BLPOP", "none", "0.6"}, soon(), 600ms));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_TRUE(reply->is_nil());
  EXPECT_EQ(connected, 1);
}

TEST_F(RedisClientTest, ADeadlineThatPassesLeavesTheConnectionSound) {
  RedisServer server;
  const auto client = client_of(server.settings());
  ASSERT_EQ(text_of(*client, {"SET", "key", "value"}), "OK");
  server.pause();

  const auto late = ask(*client, {"INCR", "n"}, loop_.deadline_in(30ms));
  server.resume();

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kDeadlineExceeded);
  EXPECT_EQ(text_of(*client, {"GET", "key"}), "value") << "and not the reply to INCR";
}

TEST_F(RedisClientTest, AWaiterThatIsDestroyedLeavesTheConnectionSound) {
  RedisServer server;
  const auto client = client_of(server.settings());
  ASSERT_EQ(text_of(*client, {"SET", "key", "value"}), "OK");
  server.pause();
  {
    Asked sent;
    Asked queued;
    TaskScope scope(loop_);
    scope.spawn(ask_later(*client, {"INCR", "n"}, soon(), sent));
    loop_.turn(Nanos::zero());  // sends it
    scope.spawn(ask_later(*client, {"INCR", "n"}, soon(), queued));
  }
  server.resume();

  EXPECT_EQ(text_of(*client, {"GET", "key"}), "value");
  EXPECT_EQ(text_of(*client, {"GET", "n"}), "1") << "what was still queued was not sent";
}

TEST_F(RedisClientTest, TooManyWaitingCommandsAreRefused) {
  RedisServer server;
  server.kill();
  const auto client = client_of(server.settings());
  std::vector<Asked> asked(70'000);
  TaskScope scope(loop_);

  for (Asked& one : asked) scope.spawn(ask_later(*client, {"PING"}, soon(), one));

  EXPECT_EQ(asked.front().code(), Errc::kOk);
  EXPECT_EQ(asked.back().code(), Errc::kResourceExhausted);
}

TEST_F(RedisClientTest, DestroyingTheClientEndsWhatWaits) {
  RedisServer server;
  auto client = client_of(server.settings());
  ASSERT_TRUE(ready(*client));
  server.pause();
  Asked sent;
  Asked queued;
  TaskScope scope(loop_);
  scope.spawn(ask_later(*client, {"PING"}, soon(), sent));
  loop_.turn(Nanos::zero());
  scope.spawn(ask_later(*client, {"PING"}, soon(), queued));

  client.reset();
  until([&] { return scope.empty(); });

  EXPECT_EQ(sent.code(), Errc::kUnknown);
  EXPECT_EQ(queued.code(), Errc::kUnavailable);
}

// --- messages ---

TEST_F(RedisClientTest, MessagesArePushedAndASilentServerIsNoticed) {
  RedisServer server;
  Proxy proxy(server.port());
  std::vector<std::string> messages;
  std::unique_ptr<Client> client;
  std::vector<Asked> subscribed(2);
  TaskScope scope(loop_);
  std::size_t connected = 0;
  Client::Hooks hooks;
  hooks.pushed = [&](Reply message) { messages.push_back(message.items.at(2).text); };
  hooks.connected = [&] {
    if (connected < 2) scope.spawn(ask_later(*client, {"SUBSCRIBE", "news"}, soon(), subscribed[connected++]));
  };
  client = client_through(proxy, std::move(hooks));
  until([&] { return subscribed[0].done(); });
  EXPECT_EQ((*subscribed[0].reply)->items[0].text, "subscribe");

  server.command({"PUBLISH", "news", "one"});
  until([&] { return messages.size() == 1; });
  proxy.swallow();
  until([&] { return client->down_reason().has_value(); });  // though nothing was asked
  proxy.forward();
  until([&] { return subscribed[1].done(); });
  server.command({"PUBLISH", "news", "two"});
  until([&] { return messages.size() == 2; });

  EXPECT_EQ(messages, (std::vector<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace caisson::redis
