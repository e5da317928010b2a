#include "sdk/redis/client.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "bus/task_scope.hpp"
#include "bus/testing/run.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::redis {
namespace {

using namespace std::chrono_literals;
using testing::Proxy;
using testing::RedisServer;

class RedisClientTest : public ::testing::Test {
 protected:
  Deadline soon() { return loop_.deadline_in(20s); }

  std::unique_ptr<Client> client_of(Settings settings, Client::Hooks hooks = {}) {
    return std::make_unique<Client>(loop_, std::move(settings), std::move(hooks));
  }
  /// A client that goes through the proxy and notices a silent server quickly.
  std::unique_ptr<Client> client_through(const Proxy& proxy, Client::Hooks hooks = {}) {
    Settings settings;
    settings.addresses = {{"127.0.0.1", proxy.port()}};
    settings.read_timeout = 200ms;
    return client_of(std::move(settings), std::move(hooks));
  }
  Result<Reply> ask(Client& client, Command command) { return ask(client, std::move(command), soon()); }
  Result<Reply> ask(Client& client, Command command, Deadline deadline) {
    return caisson::testing::run(loop_, client.ask(std::move(command), deadline));
  }
  std::string text_of(Client& client, Command command) {
    const auto reply = ask(client, std::move(command));
    return reply ? reply->text : "error: " + reply.error().message;
  }
  Result<void> ready(Client& client) { return caisson::testing::run(loop_, client.ready(soon())); }
  void until(const std::function<bool()>& done) { caisson::testing::run_until(loop_, done); }

  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(RedisClientTest, ACommandHasItsReply) {
  RedisServer server;
  const auto client = client_of(server.settings());

  EXPECT_EQ(text_of(*client, {"SET", "key", "value"}), "OK");
  EXPECT_EQ(text_of(*client, {"GET", "key"}), "value");
  const auto missing = ask(*client, {"GET", "nothing"});
  ASSERT_TRUE(missing);
  EXPECT_TRUE(missing->is_nil());
}

}  // namespace
}  // namespace caisson::redis
