// Getting to a server and into it: passwords, roles, sentinels, names, TLS.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "sdk/redis/testing/client_fixture.hpp"

namespace caisson::redis {
namespace {

using namespace std::chrono_literals;
using testing::RedisClientTest;
using testing::RedisServer;

// --- who may enter ---

TEST_F(RedisClientTest, ThePasswordAndTheDatabaseAreUsed) {
  RedisServer server({.password = "s3cret"});
  Settings settings = server.settings();
  settings.database = 3;
  const auto client = client_of(settings);

  EXPECT_EQ(text_of(*client, {"SET", "key", "in three"}), "OK");

  EXPECT_EQ(server.command({"GET", "key"}, 3).text, "in three");
  EXPECT_TRUE(server.command({"GET", "key"}).is_nil());
}

TEST_F(RedisClientTest, AUserOfTheAccessListIsUsed) {
  RedisServer server({.password = "other", .users = {"user app on >s3cret ~app:* +set +get"}});
  Settings settings = server.settings();
  settings.username = "app";
  settings.password = "s3cret";
  const auto client = client_of(settings);

  EXPECT_EQ(text_of(*client, {"SET", "app:key", "1"}), "OK") << "PING is not allowed to it, and not needed";
  EXPECT_TRUE(text_of(*client, {"SET", "key", "1"}).starts_with("NOPERM"));
}

TEST_F(RedisClientTest, AWrongPasswordIsSaidAndNotShown) {
  RedisServer server({.password = "s3cret"});
  Settings settings = server.settings();
  settings.password = "letmein";
  const auto client = client_of(settings);

  const auto refused = ask(*client, {"PING"}, loop_.deadline_in(300ms));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  EXPECT_NE(refused.error().message.find("AUTH refused"), std::string::npos) << refused.error().message;
  EXPECT_EQ(refused.error().message.find("letmein"), std::string::npos);
}

TEST_F(RedisClientTest, AServerThatRepeatsThePasswordDoesNotRevealIt) {
  RedisServer server({.lines = {"rename-command AUTH \"\""}});
  Settings settings = server.settings();
  settings.username = "app";
  settings.password = "letmein";
  const auto client = client_of(settings);

  const auto refused = ask(*client, {"PING"}, loop_.deadline_in(300ms));

  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("unknown command"), std::string::npos) << refused.error().message;
  EXPECT_EQ(refused.error().message.find("letmein"), std::string::npos) << refused.error().message;
}

TEST_F(RedisClientTest, AMissingPasswordIsTheReasonItIsDown) {
  RedisServer server({.password = "s3cret"});
  Settings settings = server.settings();
  settings.password.clear();
  const auto client = client_of(settings);

  until([&] { return client->down_reason()->find("NOAUTH") != std::string::npos; });
}

// --- roles ---

TEST_F(RedisClientTest, AReplicaThatRefusesAWriteIsUnavailable) {
  RedisServer master;
  RedisServer replica({.replica_of = master.port()});
  const auto client = client_of(replica.settings());

  const auto reply = ask(*client, {"SET", "key", "value"});

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnavailable);
}

TEST_F(RedisClientTest, AServerThatCannotServeYetIsNotReady) {
  RedisServer master;
  const std::uint16_t port = master.port();
  master.kill();
  RedisServer replica({.replica_of = port, .lines = {"replica-serve-stale-data no"}});
  const auto client = client_of(replica.settings());

  until([&] { return client->down_reason()->find("MASTERDOWN") != std::string::npos; });
  replica.command({"REPLICAOF", "NO", "ONE"});

  EXPECT_TRUE(ready(*client));
}

TEST_F(RedisClientTest, SentinelLeadsToTheNewMaster) {
  RedisServer master({.password = "s3cret"});
  RedisServer replica({.password = "s3cret", .replica_of = master.port()});
  RedisServer sentinel({.sentinel_of = master.port(), .lines = {"sentinel auth-pass mymaster s3cret"}});
  Settings settings = master.settings();
  settings.addresses = {{"127.0.0.1", 1}, {"127.0.0.1", sentinel.port()}};  // the first one is away
  settings.sentinel_master = "mymaster";
  const auto client = client_of(settings);
  ASSERT_EQ(text_of(*client, {"SET", "key", "1"}), "OK");
  until([&] { return sentinel.command({"SENTINEL", "REPLICAS", "mymaster"}).items.size() == 1; });
  until([&] { return replica.command({"GET", "key"}).text == "1"; });

  master.kill();
  until([&] { return client->down_reason().has_value(); });

  const auto reply = ask(*client, {"SET", "key", "2"}, loop_.deadline_in(25s));
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(replica.command({"GET", "key"}).text, "2");
}

TEST_F(RedisClientTest, AMasterThatWasDemotedIsLeft) {
  RedisServer master;
  RedisServer sentinel({.sentinel_of = master.port()});
  Settings settings = master.settings();
  settings.addresses = {{"127.0.0.1", sentinel.port()}};
  settings.sentinel_master = "mymaster";
  const auto client = client_of(settings);
  ASSERT_EQ(text_of(*client, {"SET", "key", "1"}), "OK");

  master.command({"REPLICAOF", "127.0.0.1", "1"});
  const auto reply = ask(*client, {"SET", "key", "2"});

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kUnavailable);
  until([&] { return client->down_reason().value_or("").find("is a slave and not the master") != std::string::npos; });
  master.command({"REPLICAOF", "NO", "ONE"});
  EXPECT_EQ(text_of(*client, {"SET", "key", "3"}), "OK");
}

TEST_F(RedisClientTest, ASentinelThatKnowsNoSuchMasterIsSaid) {
  RedisServer master;
  RedisServer sentinel({.sentinel_of = master.port()});
  Settings settings;
  settings.addresses = {{"127.0.0.1", sentinel.port()}};
  settings.sentinel_master = "other";
  const auto client = client_of(settings);

  until([&] { return client->down_reason()->find("knows no master 'other'") != std::string::npos; });
}

// --- names and TLS ---

TEST_F(RedisClientTest, NamesAreLookedUp) {
  RedisServer server;
  Settings settings = server.settings();
  settings.addresses.front().host = "localhost";
  const auto client = client_of(settings);

  EXPECT_EQ(text_of(*client, {"PING"}), "PONG");
}

TEST_F(RedisClientTest, ANameThatDoesNotExistIsSaid) {
  Settings settings;
  settings.addresses = {{"no-such-host.invalid", 6379}};
  settings.dial_timeout = 2s;
  const auto client = client_of(settings);

  until([&] { return client->down_reason()->find("no-such-host.invalid") != std::string::npos; });
}

class RedisTlsTest : public RedisClientTest {
 protected:
  ~RedisTlsTest() override { ::unsetenv("SSL_CERT_FILE"); }
  static void trust(const RedisServer& server) { ::setenv("SSL_CERT_FILE", server.authority_file().c_str(), 1); }
};

TEST_F(RedisTlsTest, ATrustedServerIsUsed) {
  RedisServer server({.password = "s3cret", .tls = true});
  trust(server);
  const auto client = client_of(server.tls_settings());
  const std::string large(3'000'000, 'x');

  EXPECT_EQ(text_of(*client, {"SET", "key", large}), "OK");
  EXPECT_TRUE(text_of(*client, {"GET", "key"}) == large);
}

TEST_F(RedisTlsTest, AServerOfAnUnknownAuthorityIsRefusedUnlessThatIsWanted) {
  RedisServer server({.tls = true});
  Settings settings = server.tls_settings();
  const auto careful = client_of(settings);
  settings.tls_options.verify = false;
  const auto careless = client_of(settings);

  until([&] { return careful->down_reason()->find("TLS handshake failed") != std::string::npos; });
  EXPECT_NE(careful->down_reason()->find("certificate"), std::string::npos) << *careful->down_reason();
  EXPECT_EQ(text_of(*careless, {"PING"}), "PONG");
}

TEST_F(RedisTlsTest, ACertificateForAnotherNameIsRefused) {
  RedisServer server({.tls = true, .lines = {"bind 127.0.0.1 127.0.0.2"}});
  trust(server);
  Settings settings = server.tls_settings();
  settings.addresses.front().host = "localhost";
  const auto right_name = client_of(settings);
  settings.addresses.front().host = "127.0.0.2";
  const auto wrong_name = client_of(settings);

  EXPECT_EQ(text_of(*right_name, {"PING"}), "PONG");
  until([&] { return wrong_name->down_reason()->find("mismatch") != std::string::npos; });
}

TEST_F(RedisTlsTest, AClientCertificateIsShown) {
  RedisServer server({.tls = true, .tls_needs_client_certificate = true});
  trust(server);
  Settings settings = server.tls_settings();
  const auto anonymous = client_of(settings);
  settings.tls_options.certificate.value = server.client_certificate_file();
  settings.tls_options.key.value = server.client_key_file();
  const auto known = client_of(settings);

  EXPECT_EQ(text_of(*known, {"PING"}), "PONG");
  until([&] { return anonymous->down_reason()->find("certificate") != std::string::npos; });
}

TEST_F(RedisTlsTest, APlainServerIsNoTlsServer) {
  RedisServer server;
  Settings settings = server.settings();
  settings.tls = true;
  settings.dial_timeout = 100ms;  // it waits for the end of a line
  const auto client = client_of(settings);

  until([&] { return client->down_reason()->find("TLS handshake failed") != std::string::npos; });
}

}  // namespace
}  // namespace caisson::redis
