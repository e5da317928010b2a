#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bus/task_scope.hpp"
#include "bus/testing/run.hpp"
#include "sdk/redis/client.hpp"
#include "sdk/redis/testing/proxy.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::redis::testing {

using namespace std::chrono_literals;

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

/// A command whose reply the test looks at later.
struct Asked {
  std::optional<Result<Reply>> reply;
  [[nodiscard]] bool done() const { return reply.has_value(); }
  [[nodiscard]] Errc code() const { return !done() || *reply ? Errc::kOk : reply->error().code; }
};

inline Task<void> ask_later(Client& client, Command command, Deadline deadline, Asked& asked, Nanos blocks_for = {}) {
  auto task = client.ask(std::move(command), deadline, blocks_for);
  auto reply = co_await std::move(task);
  asked.reply.emplace(std::move(reply));
}

}  // namespace caisson::redis::testing
