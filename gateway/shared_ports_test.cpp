#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/testing/gateway_fixture.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using ::testing::HasSubstr;

class NothingIsServed final : public HttpService {
 public:
  Admission admit(HttpRequest&) override { return {}; }
  Task<HttpAnswer> serve(HttpRequest&, Buffer) override { co_return HttpAnswer(); }
  Task<Opened> open(HttpRequest&, Buffer) override { co_return Opened(); }
  Task<HttpAnswer> reply(HttpRequest&, Opened&) override { co_return HttpAnswer(); }
};

class SharedPortsTest : public GatewayTest {
 protected:
  std::unique_ptr<Listener> make() {
    return std::make_unique<Listener>(loop_, Services{service_}, HttpOptions{}, counters_);
  }
  static Result<std::uint16_t> listen(Listener& listener, std::uint16_t port, Sharing sharing) {
    return listener.listen_tcp({"127.0.0.1"}, port, sharing);
  }

  /// A gateway in the run directory with one app.
  std::unique_ptr<Gateway> gateway(Sharing sharing) {
    Gateway::Options options;
    options.run_dir = directory_;
    options.sharing = sharing;
    Gateway::Handlers handlers;
    handlers.make_listener = [this](const std::string& process) { return listener(process); };
    auto made = std::make_unique<Gateway>(loop_, options, std::move(handlers));
    EXPECT_TRUE(made->start());
    return made;
  }
  static AppConfig app(std::uint16_t http_port, std::string id = "shop") {
    AppConfig config;
    config.id = std::move(id);
    config.http_port = http_port;
    config.grpc_port = 0;
    config.listen_addresses = {"127.0.0.1"};
    return config;
  }

  NothingIsServed service_;
  GatewayCounters counters_;
};

TEST_F(SharedPortsTest, OthersJoinThePortOfTheFirst) {
  const auto first = make();
  const auto other = make();
  const auto port = listen(*first, 0, Sharing::kFirst);
  ASSERT_TRUE(port) << port.error().message;

  const auto joined = listen(*other, *port, Sharing::kJoin);

  ASSERT_TRUE(joined) << joined.error().message;
  std::vector<std::unique_ptr<Client>> clients;
  run_until(loop_, [&] {
    clients.push_back(std::make_unique<Client>(*port));
    return first->connections() != 0 && other->connections() != 0;
  });
}

TEST_F(SharedPortsTest, WhoWantsToBeFirstIsRefusedAPortInUse) {
  for (const Sharing holds : {Sharing::kAlone, Sharing::kFirst, Sharing::kJoin}) {
    const auto holder = make();
    const auto second = make();
    const auto port = listen(*holder, 0, holds);
    ASSERT_TRUE(port) << port.error().message;

    const auto refused = listen(*second, *port, Sharing::kFirst);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kAlreadyExists);
    EXPECT_THAT(refused.error().message, HasSubstr("in use"));
  }
}

TEST_F(SharedPortsTest, NobodyJoinsAPortThatIsForOneAlone) {
  const auto alone = make();
  const auto other = make();
  const auto port = listen(*alone, 0, Sharing::kAlone);
  ASSERT_TRUE(port);

  EXPECT_FALSE(listen(*other, *port, Sharing::kJoin));
}

TEST_F(SharedPortsTest, TheNextFirstGatewayHasThePortsOfTheOneBefore) {
  auto first = gateway(Sharing::kFirst);
  ASSERT_TRUE(first->set_apps({app(0)}));
  ASSERT_TRUE(first->write_ports());
  const std::uint16_t port = first->http_port("shop");
  const auto other = make();
  ASSERT_TRUE(listen(*other, port, Sharing::kJoin));
  first.reset();

  first = gateway(Sharing::kFirst);
  const auto opened = first->set_apps({app(0)});

  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(first->http_port("shop"), port);
}

TEST_F(SharedPortsTest, AnAppThatChangesKeepsAPortThatOthersStillHold) {
  const auto first = gateway(Sharing::kFirst);
  ASSERT_TRUE(first->set_apps({app(0)}));
  const std::uint16_t port = first->http_port("shop");
  const auto other = make();
  ASSERT_TRUE(listen(*other, port, Sharing::kJoin));

  const auto moved = first->set_apps({app(port, "till")});

  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(first->http_port("till"), port);
}

TEST_F(SharedPortsTest, AnAppIsRefusedAPortThatAnotherRuntimeShares) {
  const auto another = make();
  const auto port = listen(*another, 0, Sharing::kFirst);
  ASSERT_TRUE(port);
  const auto first = gateway(Sharing::kFirst);

  const auto refused = first->set_apps({app(*port)});

  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("'shop'"));
}

}  // namespace
}  // namespace caisson::gateway
