#include "gateway/gateway.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config-cache/generation.hpp"
#include "gateway/testing/gateway_fixture.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using caisson::testing::run;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(GatewayTest, ARequestCrossesWithItsPartsAndTheAnswerComesBack) {
  start_with(echo);
  Client client(port_);

  const std::string answer = exchange(
      client,
      get("/v1/things/b/k%2F1?x=1&y=%20", "X-Mine: 1\r\nConnection: X-Hop\r\nX-Hop: 2\r\ndapr-api-token: t\r\n"), "#");

  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("GET /v1/things/b/k%2F1?x=1&y=%20 box=b key=k/1|Host:h|X-Mine:1#"));
  EXPECT_THAT(answer, HasSubstr("x-fake: yes\r\n"));
  EXPECT_THAT(answer, HasSubstr("traceparent: 00-"));
  EXPECT_THAT(answer, Not(HasSubstr("evil")));
  EXPECT_THAT(answer, Not(HasSubstr("x-bad")));
}

TEST_F(GatewayTest, PipelinedRequestsAreAnsweredInOrderOverOneConnection) {
  start_with(echo);
  Client client(port_);
  std::string many;
  for (int i = 0; i < 20; ++i) many += post("/v1/things/b", "body" + std::to_string(i));

  const std::string answers = exchange(client, many, "#body19");

  std::size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = answers.find("#body" + std::to_string(i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_FALSE(client.closed());
}

TEST_F(GatewayTest, ARequestSplitAtEveryByteIsTheSameRequest) {
  start_with(echo);
  const std::string request =
      "POST /v1/things/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  Client client(port_);
  for (const char byte : request) {
    run_until(loop_, [&] { return client.send(std::string_view(&byte, 1)); });
    loop_.turn(Nanos::zero());
  }
  EXPECT_THAT(exchange(client, "", "#abc"), HasSubstr("#abc"));
}

TEST_F(GatewayTest, HeadGetsALengthAndNoBody) {
  start_with(echo);
  Client client(port_);

  const std::string answer = exchange(client, "HEAD /v1/things/b/k HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\n");

  EXPECT_THAT(answer, HasSubstr("Content-Length: "));
  EXPECT_THAT(answer, Not(HasSubstr("Content-Length: 0")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(GatewayTest, AClientThatExpectsContinueGetsIt) {
  start_with(echo);
  Client client(port_);
  exchange(client, "POST /v1/things/b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
           "100 Continue\r\n\r\n");
  EXPECT_THAT(exchange(client, "abc", "#abc"), HasSubstr("200 OK"));
}

TEST_F(GatewayTest, MalformedAndOversizedHeadsAreAnsweredAndTheConnectionEnds) {
  start_with(echo);
  Client malformed(port_);
  EXPECT_THAT(exchange(malformed, "GET /a b HTTP/1.1\r\n\r\n", "never"), StartsWith("HTTP/1.1 400 "));
  Client oversized(port_);
  EXPECT_THAT(exchange(oversized, get("/v1/health", "X: " + std::string(5000, 'x') + "\r\n"), "never"),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(GatewayTest, WhoDoesNotSpeakHttpGetsNoAnswerInIt) {
  start_with(echo);
  Client stranger(port_);
  EXPECT_EQ(exchange(stranger, "INVALID CONNECTION PREFACE\r\n\r\n", "never"), "");
  EXPECT_TRUE(stranger.closed());
}

TEST_F(GatewayTest, ASlowHeadAndAnIdleConnectionEndInTime) {
  start_with(echo);
  Client slow(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || slow.send("GET / HT");
    return sent && gateway_->counters().connections_open == 1 && !loop_.turn(Nanos::zero());
  });
  clock_.advance(std::chrono::seconds(10));
  EXPECT_THAT(exchange(slow, "", "never"), StartsWith("HTTP/1.1 408 "));

  Client idle(port_);
  exchange(idle, get("/nowhere"), "}");
  clock_.advance(std::chrono::seconds(181));
  run_until(loop_, [&] { return idle.closed(); });
}

TEST_F(GatewayTest, AnHttp10ClientIsAnsweredAndTheConnectionEnds) {
  start_with(echo);
  Client client(port_);
  EXPECT_THAT(exchange(client, "GET /v1/things/b/k HTTP/1.0\r\n\r\n", "never"), HasSubstr("Connection: close"));
  EXPECT_TRUE(client.closed());
}

TEST_F(GatewayTest, ABodyOverTheLimitGetsTheRoutesOwnError) {
  start_with(echo);
  Client client(port_);
  EXPECT_THAT(exchange(client, post("/v1/limited", "0123456789"), "#0123456789"), HasSubstr("200 OK"));
  client.forget();
  EXPECT_THAT(exchange(client, post("/v1/limited", "0123456789a"), "}"), HasSubstr("ERR_THING_TOO_LARGE"));
  client.forget();
  // What is left of the body was read: the connection goes on.
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "#"), StartsWith("HTTP/1.1 200"));
}

TEST_F(GatewayTest, WithoutTheTokenNothingButOpenRoutesIsServed) {
  AppConfig app;
  app.api_token = "secret";
  start_with(echo, app);
  Client client(port_);
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "invalid api token"), StartsWith("HTTP/1.1 401"));
  client.forget();
  EXPECT_THAT(exchange(client, get("/v1/things/b/k", "dapr-api-token: secreT\r\n"), "invalid api token"),
              StartsWith("HTTP/1.1 401"));
  client.forget();
  EXPECT_THAT(exchange(client, get("/v1/things/b/k", "dapr-api-token: secrets\r\n"), "invalid api token"),
              StartsWith("HTTP/1.1 401"));
  client.forget();
  EXPECT_THAT(exchange(client, get("/v1/things/b/k", "Dapr-Api-Token: secret\r\n"), "#"), StartsWith("HTTP/1.1 200"));
  client.forget();
  const std::string open = exchange(client, get("/v1/health"), "#");
  EXPECT_THAT(open, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(open, Not(HasSubstr("traceparent")));
}

TEST_F(GatewayTest, AnUnknownPathWithoutAFallbackIs404) {
  start_with(echo);
  Client client(port_);
  const std::string answer = exchange(client, get("/nowhere"), "}");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(answer, HasSubstr(R"({"errorCode":")"));
}

TEST_F(GatewayTest, BodiesStreamInBothDirections) {
  const auto serve = [](Incoming incoming) -> Task<void> {
    Envelope reply;
    reply.status = 201;
    auto writer = co_await incoming.reply_streamed(reply, Buffer());
    BodyReader rest = incoming.rest();
    while (true) {
      auto piece = co_await rest.next(Deadline::never());
      if (!piece || !*piece) break;
      Buffer back = Buffer::copy_of("<" + std::string((*piece)->view()) + ">");
      [[maybe_unused]] const auto sent = co_await writer->write(std::move(back), Deadline::never());
    }
    [[maybe_unused]] const auto done = co_await writer->finish(Deadline::never());
  };
  start_with(serve);
  Client client(port_);

  exchange(client, "POST /v1/stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "<abc>");
  client.forget();
  exchange(client, "2\r\nde\r\n", "<de>");
  EXPECT_THAT(exchange(client, "0\r\n\r\n", "0\r\n\r\n"), EndsWith("0\r\n\r\n"));
}

TEST_F(GatewayTest, AStreamedAnswerThatIsCutShortDoesNotLookWhole) {
  const auto serve = [](Incoming incoming) -> Task<void> {
    Envelope reply;
    reply.status = 200;
    auto writer = co_await incoming.reply_streamed(reply, Buffer::copy_of("part"));
    writer->fail({Errc::kUnknown, "broken"});
  };
  start_with(serve);
  Client client(port_);
  const std::string answer = exchange(client, get("/v1/things/b/k"), "never");
  EXPECT_THAT(answer, HasSubstr("part"));
  EXPECT_THAT(answer, Not(HasSubstr("0\r\n\r\n")));
  EXPECT_TRUE(client.closed());
}

/// Remembers what it was asked and answers when told to.
struct Held {
  explicit Held(EventLoop& event_loop) : loop(event_loop) {}
  Task<void> serve(Incoming incoming) {
    struct Count {
      int& dropped;
      bool done = false;
      explicit Count(int& count) : dropped(count) {}
      ~Count() { dropped += done ? 0 : 1; }
    } count(dropped);
    ids.push_back(request_id(incoming.head().envelope()));
    while (!open) co_await opened.wait(loop, Deadline::never());
    Envelope reply;
    reply.status = 200;
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, Buffer::copy_of("held#"));
    count.done = true;
  }
  EventLoop& loop;
  std::vector<RequestId> ids;
  int dropped = 0;
  bool open = false;
  WaitQueue opened;
};

TEST_F(GatewayTest, AClientThatLeavesCancelsItsCall) {
  Held held(loop_);
  start_with([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  auto client = std::make_unique<Client>(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client->send(post("/v1/things/b", "x"));
    return held.ids.size() == 1;
  });

  client->leave();
  run_until(loop_, [&] { return held.dropped == 1; });

  EXPECT_EQ(gateway_->capabilities().front().instances.front().in_flight, 0U);
  run_until(loop_, [&] { return gateway_->counters().connections_open == 0; });
}

TEST_F(GatewayTest, WhenAnInstanceDiesASafeRequestIsSentAgainUnderTheSameIdAndAnotherOneIsNot) {
  Held held(loop_);
  start_with([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  Client safe(port_);
  Client unsafe(port_);
  run_until(loop_, [&, a = false, b = false]() mutable {
    a = a || safe.send(get("/v1/things/b/k"));
    b = b || unsafe.send(post("/v1/things/b", "x"));
    return held.ids.size() == 2;
  });
  const auto first = held.ids;
  held.ids.clear();

  capability_.reset();
  EXPECT_THAT(exchange(unsafe, "", "}"), HasSubstr("ERR_OUTCOME_UNKNOWN"));
  held.open = true;
  link([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  EXPECT_THAT(exchange(safe, "", "held#"), StartsWith("HTTP/1.1 200"));

  ASSERT_EQ(held.ids.size(), 1U);
  EXPECT_TRUE(held.ids[0] == first[0] || held.ids[0] == first[1]);
}

TEST_F(GatewayTest, ARequestForAnAbsentCapabilityWaitsForAnInstance) {
  install(fake_manifest());
  start();
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(post("/v1/things/b", "early"));
    return gateway_->capabilities().front().parked == 1;
  });

  link(echo);

  EXPECT_THAT(exchange(client, "", "#early"), StartsWith("HTTP/1.1 200"));
}

TEST_F(GatewayTest, AParkedRequestEndsWithTheRoutesErrorInTime) {
  install(fake_manifest());
  start();
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(post("/v1/limited", "x"));
    return gateway_->capabilities().front().parked == 1;
  });
  clock_.advance(std::chrono::seconds(31));
  EXPECT_THAT(exchange(client, "", "}"), HasSubstr("ERR_THING_AWAY"));
}

TEST_F(GatewayTest, WhatFindsNoRoomInTimeIs503AndTheRestIsServed) {
  Held held(loop_);
  start_with([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<bool> sent(12, false);
  for (int i = 0; i < 12; ++i) clients.push_back(std::make_unique<Client>(port_));
  run_until(loop_, [&] {
    bool all = true;
    for (int i = 0; i < 12; ++i) {
      sent[i] = sent[i] || clients[i]->send(post("/v1/things/b", "x"));
      all = all && sent[i];
    }
    return all && gateway_->counters().requests == 12 && held.ids.size() == 8;
  });
  for (int i = 0; i < 5; ++i) loop_.turn(Nanos::zero());
  clock_.advance(std::chrono::seconds(2));

  int refused = 0;
  run_until(loop_, [&] {
    refused = 0;
    for (auto& client : clients) refused += client->received().starts_with("HTTP/1.1 503") ? 1 : 0;
    return refused == 4;
  });
  held.open = true;
  held.opened.wake_all();
  run_until(loop_, [&] {
    int served = 0;
    for (auto& client : clients) served += client->received().starts_with("HTTP/1.1 200") ? 1 : 0;
    return served == 8;
  });
  EXPECT_EQ(held.ids.size(), 8U);
}

TEST_F(GatewayTest, TwoThousandConnectionsAtOnceLoseNothing) {
  start_with(echo);
  constexpr std::size_t kMany = 2000;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<bool> sent(kMany, false);
  std::vector<bool> served(kMany, false);
  for (std::size_t i = 0; i < kMany; ++i) clients.push_back(std::make_unique<Client>(port_));
  std::size_t count = 0;
  run_until(
      loop_,
      [&] {
        for (std::size_t i = 0; i < kMany; ++i) {
          if (!sent[i]) sent[i] = clients[i]->send(post("/v1/things/b", "n" + std::to_string(i) + "."));
          if (served[i] || clients[i]->received().find("#n" + std::to_string(i) + ".") == std::string::npos) continue;
          served[i] = true;
          ++count;
        }
        return count == kMany;
      },
      std::chrono::seconds(120));
  EXPECT_EQ(gateway_->counters().requests_overloaded, 0U);
}

TEST_F(GatewayTest, AManifestTakesEffectWhileItRunsAndABrokenOneKeepsTheLastGood) {
  start();
  Client client(port_);
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "}"), StartsWith("HTTP/1.1 404"));
  client.forget();

  install(fake_manifest());
  run_until(loop_, [&] { return static_cast<bool>(accept_); });
  link(echo);
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "#"), StartsWith("HTTP/1.1 200"));
  client.forget();

  ASSERT_TRUE(replace_file(directory_ + "/manifests/fake.json", "{broken"));
  for (int i = 0; i < 3; ++i) loop_.turn(std::chrono::milliseconds(5));
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "#"), StartsWith("HTTP/1.1 200"));
  client.forget();

  std::filesystem::remove(directory_ + "/manifests/fake.json");
  run_until(loop_, [&] { return capability_->link.down(); });
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "}"), StartsWith("HTTP/1.1 404"));
}

TEST_F(GatewayTest, OverlappingManifestsAreAStartErrorThatNamesBoth) {
  Manifest other = fake_manifest();
  other.capability = "other";
  install(fake_manifest());
  install(other, "other.json");
  Gateway::Options options;
  options.run_dir = directory_;
  Gateway::Handlers handlers;
  handlers.make_listener = [this](const std::string& process) { return listener(process); };
  Gateway gateway(loop_, options, std::move(handlers));

  const auto started = gateway.start();

  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("'fake'"));
  EXPECT_THAT(started.error().message, HasSubstr("'other'"));
}

TEST_F(GatewayTest, AHelloUnderAnotherNameIsRefused) {
  install(fake_manifest());
  start();
  auto [ours, theirs] = make_inproc_lanes(loop_);
  accept_(std::move(ours));
  FakeCapability impostor(loop_, std::move(theirs), echo, "other");
  run_until(loop_, [&] { return impostor.link.down(); });
  EXPECT_TRUE(gateway_->capabilities().front().instances.empty());
}

TEST_F(GatewayTest, AGenerationIsKeptForWhoLinksLaterAndAnswersGoToThePublisher) {
  Manifest publisher = fake_manifest();
  publisher.publishes_config = true;
  publisher.capability = "fake";
  install(publisher);
  start();
  link(echo);
  Manifest taker;
  taker.capability = "taker";
  const auto snapshot = [](std::uint64_t sequence) {
    config::Generation generation;
    generation.term = 1;
    generation.sequence = sequence;
    generation.audience = "taker";
    return config::encode(generation);
  };
  Envelope publish;
  publish.kind = wire::Kind::Config;
  publish.target = "taker";
  for (const std::uint64_t sequence : {2, 1}) {  // the older one comes late
    Buffer payload(snapshot(sequence));
    ASSERT_TRUE(capability_->link.send(publish, payload));
  }

  auto [ours, theirs] = make_inproc_lanes(loop_);
  ASSERT_TRUE(gateway_->link_inproc(taker, std::move(ours)));
  run_until(loop_, [&] { return loop_.turn(Nanos::zero()) == false; });
  FakeCapability late(loop_, std::move(theirs), echo, "taker");
  run_until(loop_, [&] { return !late.configs.empty(); });

  const auto got = config::decode(late.configs.front());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->sequence, 2U);
  const Field headers[] = {{"term", "1"}, {"sequence", "2"}};
  Envelope answer;
  answer.kind = wire::Kind::Config;
  answer.target = "taker";
  answer.status = 200;
  answer.headers = headers;
  Buffer nothing;
  ASSERT_TRUE(late.link.send(answer, nothing));
  run_until(loop_, [&] { return capability_->answers == 1; });
}

TEST_F(GatewayTest, ADeniedGroupVanishesWithTheConfiguration) {
  Manifest manifest = fake_manifest();
  manifest.publishes_config = true;
  for (Route& route : manifest.routes) {
    route.group = "things";
    route.version = "v1";
  }
  install(manifest);
  start();
  link(echo);
  config::Generation generation;
  generation.term = generation.sequence = 1;
  generation.audience = "gateway";
  generation.configuration.api_denied = {{"things", "v1", "http"}};
  Envelope publish;
  publish.kind = wire::Kind::Config;
  publish.target = "gateway";
  Buffer payload(config::encode(generation));
  ASSERT_TRUE(capability_->link.send(publish, payload));
  run_until(loop_, [&] { return capability_->answers == 1; });

  Client client(port_);
  EXPECT_THAT(exchange(client, get("/v1/things/b/k"), "}"), StartsWith("HTTP/1.1 404"));
  client.forget();
  EXPECT_THAT(exchange(client, get("/v1/health"), "#"), StartsWith("HTTP/1.1 200"));

  // Nobody publishes when the gateway is back.
  capability_.reset();
  gateway_.reset();
  start();
  link(echo);
  Client again(port_);
  EXPECT_THAT(exchange(again, get("/v1/things/b/k"), "}"), StartsWith("HTTP/1.1 404"));
}

/// A capability with a compartment, and one who publishes where things are.
class CompartmentsTest : public GatewayTest {
 protected:
  void TearDown() override {
    publisher_.reset();
    for (auto& [process, instance] : instances_) instance.reset();
    GatewayTest::TearDown();
  }
  void begin() {
    install(fake_manifest());
    Manifest publisher;
    publisher.capability = "publisher";
    publisher.publishes_config = true;
    publisher.takes_config = false;
    install(publisher, "publisher.json");
    start();
    auto [ours, theirs] = make_inproc_lanes(loop_);
    accepts_.at("publisher")(std::move(ours));
    publisher_ = std::make_unique<FakeCapability>(loop_, std::move(theirs), echo, "publisher");
    run_until(loop_, [&] { return publisher_->link.ready(); });
  }
  /// `audience` holds these; "box:compartment" is elsewhere.
  void publish(const std::string& audience, const std::vector<std::string>& holds,
               const std::vector<config::Elsewhere>& elsewhere = {}) {
    config::Generation generation;
    generation.term = 1;
    generation.sequence = ++sequence_;
    generation.audience = audience;
    for (const std::string& name : holds) {
      config::Component component;
      component.name = name;
      component.type = "fake.box";
      generation.components.push_back(std::move(component));
    }
    generation.elsewhere = elsewhere;
    Envelope frame;
    frame.kind = wire::Kind::Config;
    frame.target = audience;
    Buffer payload(config::encode(generation));
    ASSERT_TRUE(publisher_->link.send(frame, payload));
    run_until(loop_, [&] { return !loop_.turn(Nanos::zero()); });
  }
  /// Answers with the name of its process.
  void link_process(const std::string& process) {
    auto [ours, theirs] = make_inproc_lanes(loop_);
    accepts_.at(process)(std::move(ours));
    const auto serve = [process](Incoming incoming) -> Task<void> { return answer(process, std::move(incoming)); };
    instances_[process] = std::make_unique<FakeCapability>(loop_, std::move(theirs), serve);
    run_until(loop_, [&] { return instances_[process]->link.ready() && !instances_[process]->apps.empty(); });
  }
  static Task<void> answer(std::string process, Incoming incoming) {
    std::string said = process + "#";
    Envelope reply;
    reply.status = 200;
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, Buffer(std::move(said)));
  }
  std::string served_by(const std::string& box) {
    Client client(port_);
    const std::string answer = exchange(client, get("/v1/things/" + box + "/k"), "#");
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }
  CapabilityFacts facts(const std::string& process) {
    for (CapabilityFacts& one : gateway_->capabilities()) {
      if (one.name == process) return one;
    }
    return {};
  }

  std::unique_ptr<FakeCapability> publisher_;
  std::map<std::string, std::unique_ptr<FakeCapability>> instances_;
  std::uint64_t sequence_ = 0;
};

TEST_F(CompartmentsTest, RequestsGoToTheProcessThatHoldsTheComponent) {
  begin();
  publish("fake/b", {"far"});
  publish("fake", {"near"}, {{"far", "b"}});
  link_process("fake");
  link_process("fake.b");

  EXPECT_EQ(served_by("far"), "fake.b#");
  EXPECT_EQ(served_by("near"), "fake#");
  EXPECT_EQ(served_by("unknown"), "fake#");
}

TEST_F(CompartmentsTest, EachIsGivenTheGenerationOfItsOwnDirectoryAndAnswersForThat) {
  begin();
  publish("fake/b", {"far"});
  publish("fake", {"near"}, {{"far", "b"}});

  link_process("fake.b");

  ASSERT_EQ(instances_["fake.b"]->configs.size(), 1U);
  EXPECT_EQ(config::decode(instances_["fake.b"]->configs[0])->audience, "fake/b");
  publish("fake/b", {"far", "farther"});
  EXPECT_EQ(instances_["fake.b"]->configs.size(), 2U);
  publish("fake", {"near", "nearer"}, {{"far", "b"}});
  EXPECT_EQ(instances_["fake.b"]->configs.size(), 2U);
}

TEST_F(CompartmentsTest, WithItsProcessDeadOnlyItsOwnRequestsWait) {
  begin();
  publish("fake/b", {"far"});
  publish("fake", {"near"}, {{"far", "b"}});
  link_process("fake");
  link_process("fake.b");
  instances_["fake.b"].reset();
  run_until(loop_, [&] { return !facts("fake.b").instances.at(0).linked; });
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(get("/v1/things/far/k"));
    return facts("fake.b").parked == 1;
  });

  EXPECT_EQ(served_by("near"), "fake#");
  EXPECT_EQ(facts("fake.b").parked, 1U);

  link_process("fake.b");
  EXPECT_THAT(exchange(client, "", "#"), EndsWith("fake.b#"));
}

TEST_F(CompartmentsTest, ARequestWaitsUntilTheProcessItGoesToHasBeenTold) {
  begin();
  publish("fake/b", {"other"});
  link_process("fake");
  link_process("fake.b");
  publish("fake", {"near"}, {{"far", "b"}});  // ahead of what the compartment is told
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(get("/v1/things/far/k"));
    return facts("fake.b").parked == 1;
  });

  publish("fake/b", {"other", "far"});

  EXPECT_THAT(exchange(client, "", "#"), EndsWith("fake.b#"));
}

TEST_F(CompartmentsTest, WhatWaitsForAnUnreadyProcessGoesToTheOneTheComponentMovesTo) {
  begin();
  publish("fake/b", {"far"});
  publish("fake", {}, {{"far", "b"}});
  link_process("fake");
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(get("/v1/things/far/k"));
    return facts("fake.b").parked == 1;
  });

  publish("fake", {"far"});

  EXPECT_THAT(exchange(client, "", "#"), EndsWith("fake#"));
}

TEST_F(CompartmentsTest, ACompartmentThatHoldsNothingIsForgottenWithItsLastInstance) {
  begin();
  publish("fake/b", {"far"});
  publish("fake", {}, {{"far", "b"}});
  link_process("fake.b");
  publish("fake", {"far"});
  publish("fake/b", {});

  EXPECT_FALSE(facts("fake.b").configured);
  EXPECT_TRUE(accepts_.contains("fake.b"));  // its instance is still there, and was told
  instances_["fake.b"].reset();
  run_until(loop_, [&] { return !accepts_.contains("fake.b"); });
  EXPECT_EQ(facts("fake.b").name, "");

  publish("fake/b", {"far"});
  link_process("fake.b");
  EXPECT_TRUE(facts("fake.b").configured);
}

TEST_F(CompartmentsTest, WhatWasInUseBeforeAStartIsKnownUntilItIsPublishedAgain) {
  begin();
  ASSERT_TRUE(gateway_->expect({{"fake", "b", {"fake.box"}, {"far"}}}));
  link_process("fake");
  link_process("fake.b");

  EXPECT_EQ(served_by("far"), "fake.b#");
  EXPECT_EQ(served_by("near"), "fake#");

  publish("fake", {"far"});
  EXPECT_EQ(served_by("far"), "fake#");
}

TEST_F(CompartmentsTest, AnAudienceThatIsNoDirectorysNameIsRefused) {
  begin();
  publish("fake/../x", {"far"});

  EXPECT_EQ(accepts_.size(), 2U);
  link_process("fake");
  EXPECT_EQ(served_by("far"), "fake#");
}

TEST_F(GatewayTest, APortInUseIsAClearError) {
  start_with(echo);
  AppConfig second;
  second.id = "second";
  second.http_port = port_;
  second.grpc_port = 0;
  second.listen_addresses = {"127.0.0.1"};
  AppConfig first;
  first.id = "shop";
  first.http_port = first.grpc_port = 0;
  first.listen_addresses = {"127.0.0.1"};

  const auto opened = gateway_->set_apps({first, second});

  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("second"));
  EXPECT_THAT(opened.error().message, HasSubstr(std::to_string(port_)));
  EXPECT_EQ(gateway_->http_port("shop"), port_);
}

TEST_F(GatewayTest, ShuttingDownFinishesWhatRunsAndReleasesTheCapabilities) {
  Held held(loop_);
  start_with([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(post("/v1/things/b", "x"));
    return held.ids.size() == 1;
  });
  TaskScope scope(loop_);
  scope.spawn(gateway_->shut_down_gracefully(loop_.deadline_in(std::chrono::seconds(5))));
  for (int i = 0; i < 3; ++i) loop_.turn(Nanos::zero());
  EXPECT_FALSE(capability_->released);

  held.open = true;
  held.opened.wake_all();

  EXPECT_THAT(exchange(client, "", "held#"), HasSubstr("Connection: close"));
  run_until(loop_, [&] { return scope.empty() && capability_->released; });
}

TEST_F(GatewayTest, TheOnlyInstanceServesForAWhileAfterItAskedToLeave) {
  start_with(echo);
  capability_->say_goodbye();
  run_until(loop_, [&] { return gateway_->capabilities().front().instances.front().draining; });
  Client client(port_);

  EXPECT_THAT(exchange(client, post("/v1/things/b", "late"), "#late"), StartsWith("HTTP/1.1 200"));
  EXPECT_FALSE(capability_->released);

  clock_.advance(std::chrono::seconds(2));
  run_until(loop_, [&] { return capability_->released; });
}

TEST_F(GatewayTest, AnInstanceThatIsReplacedMayLeaveAtOnce) {
  start_with(echo);
  capability_->say_goodbye();
  run_until(loop_, [&] { return gateway_->capabilities().front().instances.front().draining; });
  const auto old = std::move(capability_);

  link(echo, "i2");

  run_until(loop_, [&] { return old->released; });
  old->released = false;
  capability_->say_goodbye();
  run_until(loop_, [&] { return gateway_->capabilities().front().instances.back().draining; });
  EXPECT_FALSE(capability_->released);
}

TEST_F(GatewayTest, WhenAllEndTogetherTheCapabilityServesWhatTheGatewayStillHas) {
  Held held(loop_);
  start_with([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  Client client(port_);
  // The gateway has the head of a request and waits for its body.
  const std::string head = "POST /v1/things/b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_THAT(exchange(client, head, "\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  client.forget();
  capability_->say_goodbye();
  run_until(loop_, [&] { return gateway_->capabilities().front().instances.front().draining; });
  TaskScope scope(loop_);
  scope.spawn(gateway_->shut_down_gracefully(loop_.deadline_in(std::chrono::minutes(1))));
  clock_.advance(std::chrono::seconds(5));
  for (int i = 0; i < 3; ++i) loop_.turn(Nanos::zero());
  EXPECT_FALSE(capability_->released);

  held.open = true;
  EXPECT_THAT(exchange(client, "x", "held#"), StartsWith("HTTP/1.1 200"));
  run_until(loop_, [&] { return scope.empty() && capability_->released; });
}

TEST_F(GatewayTest, ShuttingDownWaitsForTheCallsUnderWayAndRefusesMore) {
  Held held(loop_);
  Manifest manifest = fake_manifest();
  manifest.serves = {"fake.echo"};
  manifest.calls = {"fake.echo"};
  install(manifest);
  start();
  link([&](Incoming incoming) { return held.serve(std::move(incoming)); });
  std::vector<std::optional<Errc>> ends(2);
  TaskScope scope(loop_);
  scope.spawn(call_itself(ends[0]));
  run_until(loop_, [&] { return held.ids.size() == 1; });

  scope.spawn(gateway_->shut_down_gracefully(loop_.deadline_in(std::chrono::minutes(1))));
  for (int i = 0; i < 3; ++i) loop_.turn(Nanos::zero());
  scope.spawn(call_itself(ends[1]));
  run_until(loop_, [&] { return ends[1].has_value(); });
  EXPECT_EQ(ends[1], Errc::kUnavailable);
  EXPECT_FALSE(capability_->released);

  held.open = true;
  held.opened.wake_all();
  run_until(loop_, [&] {
    clock_.advance(std::chrono::milliseconds(1));
    return ends[0].has_value() && capability_->released;
  });
  EXPECT_EQ(ends[0], Errc::kOk);
}

TEST_F(GatewayTest, TheAdminPortShowsItsPages) {
  start();
  const auto port = gateway_->open_admin("127.0.0.1", 0);
  ASSERT_TRUE(port);
  Client client(*port);
  EXPECT_THAT(exchange(client, get("/metrics"), "m 1\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(exchange(client, get("/status"), "{}"), HasSubstr("application/json"));
  EXPECT_THAT(exchange(client, get("/other"), "there is"), HasSubstr("HTTP/1.1 404"));
}

}  // namespace
}  // namespace caisson::gateway
