#include "gateway/runtime/runtime_capability.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/testing/fake_facts.hpp"
#include "gateway/testing/http_server.hpp"
#include "gateway/testing/link_pair.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::FakeFacts;
using testing::WholeReply;

class NobodyWatches final : public AppObserver {
 public:
  void app_changed(const AppChannel&) override {}
  void app_answered(const AppChannel&, const std::string&, std::uint16_t, const std::string&) override {}
};

constexpr const char* kUp = R"({"components":[{"name":"cart","type":"state.sqlite","version":"v1","state":"UP",)"
                            R"("capabilities":["ETAG","TRANSACTIONAL"]}]})";

/// What a process offers to its capability, as far as this one asks for it.
class TestContext final : public sdk::Context {
 public:
  explicit TestContext(EventLoop& loop) : loop_(loop) {}

  EventLoop& loop() override { return loop_; }
  [[nodiscard]] const std::string& data_dir() const override { return none_; }
  [[nodiscard]] const std::string& instance() const override { return none_; }
  sdk::Counters& counters() override { return counters_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const override { return arguments_; }
  Task<Result<Reply>> call(Envelope, Buffer, Deadline) override { co_return refused(); }
  Result<OpenCall> open_call(Envelope, Buffer, Deadline) override { return refused(); }
  [[nodiscard]] const std::map<std::string, sdk::AppState>& apps() const override { return apps_; }
  void status_changed() override {}
  void publish_config(std::string, std::string) override {}

 private:
  static Error refused() { return {Errc::kPermissionDenied, "no calls are granted"}; }

  EventLoop& loop_;
  std::string none_;
  std::vector<std::string> arguments_;
  std::map<std::string, sdk::AppState> apps_;
  sdk::Counters counters_;
};

/// The capability behind a link, asked as the gateway asks it.
class RuntimeCapabilityTest : public ::testing::Test {
 protected:
  void start() {
    capability_ = std::make_unique<RuntimeCapability>(context_, facts_);
    capability_->define(definition_);
    capability_->start();
    links_ = std::make_unique<testing::LinkPair>(loop_, testing::LinkPair::refuse, [this](Incoming incoming) {
      const sdk::StreamHandler* const handler = definition_.find(incoming.head()->route(), {});
      return (*handler)(sdk::Request(std::move(incoming)));
    });
  }

  /// An app with a port, as the facts know it.
  AppChannel& add_app(AppConfig config) {
    config.id = "shop";
    channel_ = std::make_unique<AppChannel>(loop_, std::move(config), observer_);
    facts_.channels = {channel_.get()};
    return *channel_;
  }

  [[nodiscard]] std::uint16_t route_number(std::string_view method, std::string_view path) const {
    for (const Route& route : definition_.manifest().routes) {
      if (route.method == method && route.path == path) return route.number;
    }
    ADD_FAILURE() << "no route " << method << " " << path;
    return 0;
  }

  struct Asked {
    std::string_view query;
    std::string_view key;
    std::string body;
    std::vector<Field> headers;
  };
  WholeReply ask(std::string_view method, std::string_view route, Asked asked = {}) {
    const std::vector<Field> parameters = {{"key", asked.key}};
    Envelope envelope;
    envelope.route = route_number(method, route);
    envelope.app = "shop";
    envelope.method = method;
    envelope.path = route;
    envelope.query = asked.query;
    envelope.headers = asked.headers;
    envelope.parameters = parameters;
    const Deadline deadline = loop_.deadline_in(std::chrono::seconds(10));
    Buffer body(std::move(asked.body));
    auto reply = run(loop_, testing::whole(links_->gateway.call(envelope, body, deadline), deadline));
    if (!reply) {
      ADD_FAILURE() << reply.error().message;
      return {};
    }
    return *std::move(reply);
  }
  WholeReply health(std::string_view query = {}) { return ask("GET", "/v1.0/healthz", {query, {}, {}, {}}); }

  /// The answer of GET metadata, or one of its members as text.
  std::string metadata() { return ask("GET", "/v1.0/metadata").body; }
  std::string metadata(std::string_view member) {
    const std::string json = metadata();
    simdjson::dom::parser parser;
    simdjson::dom::element value;
    if (parser.parse(json).at_key(member).get(value) != simdjson::SUCCESS) return "absent";
    return simdjson::minify(value);
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  FakeFacts facts_;
  NobodyWatches observer_;
  std::unique_ptr<AppChannel> channel_;
  TestContext context_{loop_};
  sdk::Definition definition_{"runtime"};
  std::unique_ptr<RuntimeCapability> capability_;
  std::unique_ptr<testing::LinkPair> links_;
};

// --- health ---

TEST_F(RuntimeCapabilityTest, HealthWaitsForEveryConfiguredCapability) {
  facts_.add("state", kUp);
  facts_.add("pubsub", "");
  facts_.add("runtime", "");
  start();

  const WholeReply before = health();
  facts_.list.erase(facts_.list.begin() + 1);
  facts_.add("pubsub", "{}");
  const WholeReply after = health();

  EXPECT_EQ(before.status, 500);
  EXPECT_NE(before.body.find("ERR_HEALTH_NOT_READY"), std::string::npos) << before.body;
  EXPECT_NE(before.body.find("pubsub"), std::string::npos) << before.body;
  EXPECT_EQ(after.status, 204);
  EXPECT_EQ(after.body, "");
}

TEST_F(RuntimeCapabilityTest, ComponentThatFailedItsFirstAttemptDoesNotHoldHealthBack) {
  facts_.add("state", R"({"components":[{"name":"a","state":"INIT"}]})");
  start();

  const WholeReply initialising = health();
  facts_.list[0].instances[0].status = R"({"components":[{"name":"a","state":"DOWN","reason":"away"}]})";
  const WholeReply failed = health();

  EXPECT_EQ(initialising.status, 500);
  EXPECT_EQ(failed.status, 204);
}

TEST_F(RuntimeCapabilityTest, HealthWaitsForTheConfigurationOfACapability) {
  facts_.add("state", R"({"configured":false,"components":[]})");
  start();

  const WholeReply before = health();
  facts_.list[0].instances[0].status = R"({"configured":true,"components":[]})";
  const WholeReply after = health();

  EXPECT_EQ(before.status, 500);
  EXPECT_EQ(after.status, 204);
}

TEST_F(RuntimeCapabilityTest, HealthThatWasOnceReachedStaysWithEveryCapabilityDead) {
  facts_.add("state", kUp);
  start();
  ASSERT_EQ(health().status, 204);

  facts_.list[0].instances.clear();

  EXPECT_EQ(health().status, 204);
}

TEST_F(RuntimeCapabilityTest, HealthReachedWhileNobodyAskedStaysToo) {
  facts_.add("state", "");
  start();
  facts_.list.clear();
  facts_.add("state", kUp);
  clock_.advance(std::chrono::milliseconds(100));
  loop_.turn(Nanos::zero());

  facts_.list[0].instances.clear();

  EXPECT_EQ(health().status, 204);
}

TEST_F(RuntimeCapabilityTest, HealthWaitsForTheAppsPortOnceAndOutboundHealthDoesNot) {
  testing::HttpServer app(loop_, [](const testing::SeenRequest&) { return testing::reply_text(200, ""); });
  AppConfig config;
  config.app_port = app.port();
  AppChannel& channel = add_app(config);
  start();
  const WholeReply before = health();
  const WholeReply outbound = ask("GET", "/v1.0/healthz/outbound");

  channel.start();
  run_until(loop_, [&] { return channel.reachable(); });
  const WholeReply open = health();
  app.stop();
  while (channel.reachable()) {
    clock_.advance(std::chrono::milliseconds(50));
    loop_.turn(Nanos::zero());
  }
  const WholeReply closed = health();

  EXPECT_EQ(before.status, 500);
  EXPECT_EQ(outbound.status, 204);
  EXPECT_EQ(open.status, 204);
  EXPECT_EQ(closed.status, 204);
}

TEST_F(RuntimeCapabilityTest, HealthOfAnotherAppIsRefused) {
  start();

  const WholeReply own = health("appid=shop");
  const WholeReply other = health("appid=other");

  EXPECT_EQ(own.status, 204);
  EXPECT_EQ(other.status, 500);
  EXPECT_NE(other.body.find("ERR_HEALTH_APPID_NOT_MATCH"), std::string::npos);
}

TEST_F(RuntimeCapabilityTest, RequiredPartsAreJudgedAsTheyAreNow) {
  facts_.add("state", kUp);
  facts_.add("pubsub", R"({"components":[{"name":"orders","state":"DOWN","reason":"connection refused"},)"
                       R"({"name":"hidden","state":"UP","scopes":["other"]}]})");
  start();
  ASSERT_EQ(health().status, 204);

  const WholeReply fine = health("require=state,cart,pubsub");
  const WholeReply down = health("require=state%2Corders");
  const WholeReply hidden = health("require=hidden");
  facts_.list[0].instances[0].linked = false;
  const WholeReply dead = health("require=state,cart");

  EXPECT_EQ(fine.status, 204);
  EXPECT_EQ(down.status, 500);
  EXPECT_NE(
      down.body.find(R"({"name":"state","ready":true},{"name":"orders","ready":false,"reason":"connection refused"})"),
      std::string::npos)
      << down.body;
  EXPECT_NE(hidden.body.find("is not known"), std::string::npos) << hidden.body;
  EXPECT_EQ(dead.status, 500);
  EXPECT_NE(dead.body.find("no instance is linked"), std::string::npos) << dead.body;
  EXPECT_NE(dead.body.find("state is not linked"), std::string::npos) << dead.body;
}

TEST_F(RuntimeCapabilityTest, HealthEndsWithShutdown) {
  start();
  ASSERT_EQ(health().status, 204);

  facts_.ending = true;

  EXPECT_EQ(health().status, 500);
  EXPECT_EQ(ask("GET", "/v1.0/healthz/outbound").status, 500);
}

// --- shutdown ---

TEST_F(RuntimeCapabilityTest, ShutdownIsAnsweredBeforeItBegins) {
  start();

  const WholeReply reply = ask("POST", "/v1.0/shutdown");
  const std::string at_once = facts_.shutdowns;
  clock_.advance(std::chrono::milliseconds(100));
  loop_.turn(Nanos::zero());

  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(at_once, "");
  EXPECT_EQ(facts_.shutdowns, "graceful ");
}

TEST_F(RuntimeCapabilityTest, ShutdownCanBeForced) {
  start();

  const WholeReply reply = ask("POST", "/v1.0/shutdown", {{}, {}, {}, {{"dapr-force-shutdown", "true"}}});
  clock_.advance(std::chrono::milliseconds(100));
  loop_.turn(Nanos::zero());

  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(facts_.shutdowns, "forced ");
}

// --- metadata ---

TEST_F(RuntimeCapabilityTest, MetadataOfAnEmptyRuntimeHasWhatIsAlwaysThere) {
  start();

  const WholeReply reply = ask("GET", "/v1.0/metadata");

  EXPECT_EQ(reply.status, 200);
  const std::string version = CAISSON_VERSION;
  EXPECT_EQ(reply.body, R"({"id":"shop","runtimeVersion":")" + version + R"(","extended":{"daprRuntimeVersion":")" +
                            version + R"("},"actorRuntime":{"runtimeStatus":"DISABLED","hostReady":false}})");
}

TEST_F(RuntimeCapabilityTest, MetadataListsComponentsThatAreUpAndThatTheAppMayUse) {
  facts_.add("state", kUp);
  facts_.add("pubsub", R"({"components":[{"name":"orders","type":"pubsub.x","version":"v1","state":"DOWN"},)"
                       R"({"name":"hidden","type":"pubsub.x","version":"v1","state":"UP","scopes":["other"]},)"
                       R"({"name":"mine","type":"pubsub.x","version":"v1","state":"UP","scopes":["shop"]}]})");
  facts_.list[0].instances.push_back(facts_.list[0].instances[0]);  // two instances hold the same component
  start();

  EXPECT_EQ(metadata("components"),
            R"([{"name":"cart","type":"state.sqlite","version":"v1","capabilities":["ETAG","TRANSACTIONAL","ACTOR"]},)"
            R"({"name":"mine","type":"pubsub.x","version":"v1"}])");
}

TEST_F(RuntimeCapabilityTest, MetadataJoinsWhatCapabilitiesAdd) {
  facts_.add("pubsub", R"({"metadata":{"subscriptions":[{"topic":"a"},{"topic":"b","appId":"shop"},)"
                       R"({"topic":"c","appId":"other"}],"id":"forged"}})");
  facts_.add(
      "invoke",
      R"({"metadata":{"subscriptions":[{"topic":"a"},{"topic":"d"}],"httpEndpoints":[{"name":"e"}],"none":[]}})");
  start();

  EXPECT_EQ(metadata("subscriptions"), R"([{"topic":"a"},{"topic":"b"},{"topic":"d"}])");
  EXPECT_EQ(metadata("httpEndpoints"), R"([{"name":"e"}])");
  EXPECT_EQ(metadata("none"), "absent");
  EXPECT_EQ(metadata("id"), R"("shop")");
}

TEST_F(RuntimeCapabilityTest, MetadataSaysHowTheAppIsReached) {
  AppConfig config;
  config.app_port = 8080;
  config.app_max_concurrency = 4;
  config.health_check = true;
  config.health_interval = std::chrono::seconds(90);
  add_app(config);
  start();

  EXPECT_EQ(
      metadata("appConnectionProperties"),
      R"({"port":8080,"protocol":"http","channelAddress":"127.0.0.1","maxConcurrency":4,"health":)"
      R"({"healthCheckPath":"/healthz","healthProbeInterval":"1m30s","healthProbeTimeout":"500ms","healthThreshold":3}})");
}

TEST_F(RuntimeCapabilityTest, AttributeThatWasPutIsShownAndCannotForgeTheVersion) {
  start();

  const WholeReply first = ask("PUT", "/v1.0/metadata/{key}", {{}, "cliPID", "42", {}});
  const WholeReply second = ask("PUT", "/v1.0/metadata/{key}", {{}, "cliPID", "a \"b\"", {}});
  ask("PUT", "/v1.0/metadata/{key}", {{}, "daprRuntimeVersion", "99", {}});

  EXPECT_EQ(first.status, 204);
  EXPECT_EQ(second.status, 204);
  EXPECT_EQ(metadata("extended"),
            R"({"cliPID":"a \"b\"","daprRuntimeVersion":")" + std::string(CAISSON_VERSION) + R"("})");
}

TEST_F(RuntimeCapabilityTest, AttributesAreBounded) {
  start();

  const WholeReply refused =
      ask("PUT", "/v1.0/metadata/{key}", {{}, "big", std::string(Attributes::kMaxBytes, 'x'), {}});

  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(metadata("extended").find("big"), std::string::npos);
}

TEST_F(RuntimeCapabilityTest, HealthNeedsNoTokenAndEverythingElseDoes) {
  start();

  for (const Route& route : definition_.manifest().routes) {
    EXPECT_EQ(route.open, route.path.starts_with("/v1.0/healthz")) << route.path;
    EXPECT_NE(route.group, "") << route.path;
    EXPECT_NE(route.version, "") << route.path;
  }
  EXPECT_FALSE(definition_.manifest().takes_config);
}

}  // namespace
}  // namespace caisson::gateway
