#include "sdk/process.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "bus/inproc_lane.hpp"
#include "bus/network_namespace.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/scripted_lane.hpp"
#include "config-cache/generation.hpp"
#include "sdk/http_reply.hpp"
#include "sdk/status.hpp"

namespace caisson::sdk {
namespace {

using namespace std::chrono_literals;

/// A capability that records what it is told.
class Recorder final : public Capability {
 public:
  explicit Recorder(Context& given) : context(given) {}

  void define(Definition& definition) override {
    Route echo;
    echo.method = "POST";
    echo.path = "/echo/{word}";
    definition.route(echo, [this](Request& request) { return repeat(request); });
    definition.serve_call("recorder.ping", [](Request& request) { return pong(request); });
  }
  void configure(std::shared_ptr<const config::Generation> generation) override {
    sequences.push_back(generation->sequence);
  }
  void app_changed(const AppState& app) override {
    reachable = app.reachable;
    states.push_back(app);
  }
  void app_gone(const std::string& app) override { gone.push_back(app); }
  void app_answered(const AppAnswer& answer) override { answers.push_back(answer); }
  Task<void> drain(Deadline) override {
    drained = true;
    co_return;
  }

  Context& context;
  std::vector<std::uint64_t> sequences;
  std::vector<AppState> states;
  std::vector<std::string> gone;
  std::vector<AppAnswer> answers;
  bool reachable = false;
  bool drained = false;

 private:
  static Task<Response> pong(Request&) {
    Response response;
    response.body = Buffer(std::string("pong"));
    co_return response;
  }
  Task<Response> repeat(Request& request) {
    Response response;
    response.status = 201;
    response.body = Buffer(std::string(request.parameter("word")) + ":" + std::string(request.body()));
    co_return response;
  }
};

/// A process with one link, whose other end the test holds as the gateway.
class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest()
      : process_(loop_, {"recorder", "recorder-1", {}, {}, {}}, [this](Context& context) {
          auto recorder = std::make_unique<Recorder>(context);
          recorder_ = recorder.get();
          return recorder;
        }) {
    EXPECT_TRUE(process_.start());
    auto [ours, theirs] = make_inproc_lanes(loop_);
    Link::Handlers handlers;
    handlers.control = [this](Frame frame) { control_.push_back(std::move(frame)); };
    handlers.serve = [this](Incoming call) { return answer_call(std::move(call)); };
    gateway_ = std::make_unique<Link>(loop_, std::move(ours), Side::kGateway, Link::Options{}, std::move(handlers));
    gateway_->start("gateway", "{}");
    process_.adopt(std::move(theirs));
    testing::run_until(loop_, [this] { return has(wire::Kind::Status); });
  }

  Task<void> answer_call(Incoming call) {
    calls_.emplace_back(text(call.head()->target()));
    Envelope reply;
    reply.status = 200;
    [[maybe_unused]] const auto sent = co_await call.reply(reply, Buffer(std::string("answered")));
  }

  bool has(wire::Kind kind) const {
    return std::ranges::any_of(control_, [&](const Frame& frame) { return frame->kind() == kind; });
  }
  const Frame& last(wire::Kind kind) const {
    for (auto frame = control_.rbegin(); frame != control_.rend(); ++frame) {
      if ((*frame)->kind() == kind) return *frame;
    }
    std::abort();
  }

  void tell_app(const std::string& app, bool reachable, std::uint16_t status = 0) {
    const Field headers[] = {{"reachable", reachable ? "true" : "false"}, {"incarnation", "3"}, {"protocol", "http"}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = app;
    envelope.status = status;
    envelope.headers = headers;
    Buffer nothing;
    ASSERT_TRUE(gateway_->send(envelope, nothing));
    const bool gone = status == 404;
    testing::run_until(loop_, [&] { return process_.apps().contains(app) != gone; });
  }

  Result<Reply> ask(std::uint16_t route, std::string_view app, std::string_view target, std::string body) {
    const Field parameters[] = {{"word", "w"}};
    Envelope request;
    request.route = route;
    request.app = app;
    request.target = target;
    request.parameters = parameters;
    Buffer payload(std::move(body));
    return testing::run(loop_, gateway_->call(request, payload, loop_.deadline_in(10s)));
  }

  void send_config(std::string snapshot) {
    Envelope envelope;
    envelope.kind = wire::Kind::Config;
    envelope.target = "recorder";
    Buffer payload(std::move(snapshot));
    control_.clear();
    ASSERT_TRUE(gateway_->send(envelope, payload));
    testing::run_until(loop_, [this] { return has(wire::Kind::Config); });
  }

  static std::string snapshot(std::uint64_t term, std::uint64_t sequence) {
    config::Generation generation;
    generation.audience = "recorder";
    generation.term = term;
    generation.sequence = sequence;
    return config::encode(generation);
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  std::deque<Frame> control_;
  std::vector<std::string> calls_;
  Recorder* recorder_ = nullptr;
  Process process_;
  std::unique_ptr<Link> gateway_;
};

TEST_F(ProcessTest, HelloAndStatusSayWhoItIs) {
  const auto status = parse_status(last(wire::Kind::Status).payload());

  EXPECT_EQ(text(last(wire::Kind::Hello)->target()), "recorder");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->instance, "recorder-1");
}

TEST_F(ProcessTest, ARequestReachesItsRoute) {
  tell_app("shop", true);

  const auto reply = ask(1, "shop", {}, "body");

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head->status(), 201);
  EXPECT_EQ(reply->head.payload(), "w:body");
}

TEST_F(ProcessTest, AnAddressOfAnotherNetworkIsNone) {
  const auto tell = [&](std::uint64_t network) {
    const std::string number = std::to_string(network);
    const Field headers[] = {{"incarnation", number}, {"address", "127.0.0.1:8080"}, {"network", number}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = "shop";
    envelope.headers = headers;
    Buffer nothing;
    ASSERT_TRUE(gateway_->send(envelope, nothing));
    testing::run_until(loop_, [&] {
      const auto app = process_.apps().find("shop");
      return app != process_.apps().end() && app->second.incarnation == network;
    });
  };
  ASSERT_NE(network_namespace(), 0U);

  for (const std::uint64_t other : {network_namespace() + 1, std::uint64_t{0}}) {
    tell(other);
    EXPECT_EQ(process_.apps().at("shop").address, "") << other;
  }
  tell(network_namespace());
  EXPECT_EQ(process_.apps().at("shop").address, "127.0.0.1:8080");
}

TEST_F(ProcessTest, AnAnswerThatFindsNoRoomIsSentOnceThereIsSome) {
  auto made = std::make_unique<testing::ScriptedLane>();
  testing::ScriptedLane& lane = *made;
  process_.adopt(std::move(made));
  lane.hello();
  Envelope app;
  app.kind = wire::Kind::App;
  app.app = "shop";
  lane.deliver(app);
  while (loop_.turn(Nanos::zero())) {
  }
  lane.sent.clear();
  lane.full = true;
  Envelope request;
  request.kind = wire::Kind::Request;
  request.id = 7;
  request.route = 1;
  request.app = "shop";
  lane.deliver(request, "body");

  lane.full = false;
  lane.writable();
  testing::run_until(loop_, [&] { return !lane.sent.empty(); });

  EXPECT_EQ(lane.sent[0].kind, wire::Kind::Reply);
  EXPECT_EQ(lane.sent[0].id, 7u);
  EXPECT_EQ(lane.sent[0].error, Errc::kOk);
}

TEST_F(ProcessTest, ARequestForAnAppThatTheLinkDoesNotStandForIsRefused) {
  tell_app("shop", true);

  const auto reply = ask(1, "other", {}, "");

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kPermissionDenied);
}

TEST_F(ProcessTest, AnUnknownRouteIsUnimplemented) {
  tell_app("shop", true);

  EXPECT_EQ(ask(9, "shop", {}, "").error().code, Errc::kUnimplemented);
}

TEST_F(ProcessTest, ACallByAnotherCapabilityNeedsNoApp) {
  const auto reply = ask(0, "", "recorder.ping", "");

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.payload(), "pong");
}

TEST_F(ProcessTest, ItsCallsGoToTheGatewayOfTheApp) {
  tell_app("shop", true);
  Envelope call;
  call.target = "app";
  call.app = "shop";

  const auto reply = testing::run(loop_, process_.call(call, Buffer(), loop_.deadline_in(10s)));
  call.app = "elsewhere";
  const auto refused = testing::run(loop_, process_.call(call, Buffer(), loop_.deadline_in(10s)));

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head.payload(), "answered");
  EXPECT_EQ(calls_, std::vector<std::string>{"app"});
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
}

TEST_F(ProcessTest, AppFramesBecomeStateAnswersAndDepartures) {
  tell_app("shop", true);
  EXPECT_TRUE(recorder_->reachable);
  EXPECT_EQ(process_.apps().at("shop").incarnation, 3u);

  Envelope query;
  query.kind = wire::Kind::App;
  query.app = "shop";
  query.target = "/what";
  query.status = 200;
  Buffer body(std::string("[1]"));
  ASSERT_TRUE(gateway_->send(query, body));
  testing::run_until(loop_, [this] { return !recorder_->answers.empty(); });
  EXPECT_EQ(recorder_->answers[0].body, "[1]");

  tell_app("shop", false, 404);
  EXPECT_EQ(recorder_->gone, std::vector<std::string>{"shop"});
}

TEST_F(ProcessTest, ANewGenerationIsTakenAndAcknowledged) {
  send_config(snapshot(1, 2));

  EXPECT_EQ(recorder_->sequences, std::vector<std::uint64_t>{2});
  EXPECT_EQ(last(wire::Kind::Config)->status(), 200);
  EXPECT_EQ(last(wire::Kind::Config).headers().get("sequence"), "2");
}

TEST_F(ProcessTest, ADamagedGenerationIsRefusedAndTheOldOneStays) {
  send_config(snapshot(1, 2));
  std::string damaged = snapshot(1, 3);
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x40);

  send_config(damaged);

  EXPECT_EQ(recorder_->sequences, std::vector<std::uint64_t>{2});
  EXPECT_NE(last(wire::Kind::Config)->error(), 0);
  EXPECT_EQ(last(wire::Kind::Config).headers().get("sequence"), "2");
}

TEST_F(ProcessTest, ItNeverGoesBackToAnOlderGeneration) {
  send_config(snapshot(2, 1));

  send_config(snapshot(1, 9));

  EXPECT_EQ(recorder_->sequences, std::vector<std::uint64_t>{1});
}

TEST_F(ProcessTest, DrainingSaysGoodbyeAndWaitsToBeReleased) {
  TaskScope scope(loop_);
  scope.spawn(process_.drain(loop_.deadline_in(30s)));
  testing::run_until(loop_, [this] { return has(wire::Kind::Goodbye); });
  EXPECT_TRUE(recorder_->drained);
  EXPECT_FALSE(scope.empty());

  Envelope goodbye;
  goodbye.kind = wire::Kind::Goodbye;
  Buffer nothing;
  ASSERT_TRUE(gateway_->send(goodbye, nothing));

  testing::run_until(loop_, [&] { return scope.empty(); });
}

TEST_F(ProcessTest, AGatewayThatGoesAwayTakesItsAppsWithIt) {
  tell_app("shop", true);

  gateway_.reset();

  testing::run_until(loop_, [this] { return process_.apps().empty(); });
  EXPECT_EQ(recorder_->gone, std::vector<std::string>{"shop"});
}

/// A process that is linked to two gateways which both stand for the app; in the order of connect().
class TwoGatewaysTest : public ::testing::Test {
 protected:
  /// The test's end of one gateway's link.
  struct FakeGateway {
    std::unique_ptr<Link> link;
    int calls = 0;
  };

  TwoGatewaysTest()
      : process_(loop_, {"recorder", "recorder-1", {}, {}, {}}, [this](Context& context) {
          auto recorder = std::make_unique<Recorder>(context);
          recorder_ = recorder.get();
          return recorder;
        }) {
    EXPECT_TRUE(process_.start());
    for (FakeGateway* gateway : {&first_, &second_}) {
      process_.connect("inproc", [this, gateway](const std::string&) { return lane_to(*gateway); });
    }
    testing::run_until(loop_, [this] { return up(first_) && up(second_); });
  }
  ~TwoGatewaysTest() override { away_ = true; }

  static bool up(const FakeGateway& gateway) { return gateway.link != nullptr && gateway.link->ready(); }

  Result<std::unique_ptr<Lane>> lane_to(FakeGateway& gateway) {
    if (away_) return Error{Errc::kUnavailable, "away"};
    auto [ours, theirs] = make_inproc_lanes(loop_);
    Link::Handlers handlers;
    handlers.control = [](const Frame&) {};
    handlers.serve = [&gateway](Incoming call) { return answer(gateway, std::move(call)); };
    gateway.link = std::make_unique<Link>(loop_, std::move(ours), Side::kGateway, Link::Options{}, std::move(handlers));
    gateway.link->start("gateway", "{}");
    return std::move(theirs);
  }
  static Task<void> answer(FakeGateway& gateway, Incoming call) {
    ++gateway.calls;
    Envelope reply;
    reply.status = 200;
    [[maybe_unused]] const auto sent = co_await call.reply(reply, Buffer(std::string("answered")));
  }

  void tell(FakeGateway& gateway, bool healthy, std::uint64_t incarnation, std::uint16_t status = 0) {
    const std::string number = std::to_string(incarnation);
    const std::string flag = healthy ? "true" : "false";
    const Field headers[] = {{"reachable", flag}, {"healthy", flag}, {"incarnation", number}, {"protocol", "http"}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = "shop";
    envelope.status = status;
    envelope.headers = headers;
    send(gateway, envelope, {});
  }
  void answer_query(FakeGateway& gateway, std::uint64_t incarnation, std::string body) {
    const std::string number = std::to_string(incarnation);
    const Field headers[] = {{"incarnation", number}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = "shop";
    envelope.target = "/what";
    envelope.status = 200;
    envelope.headers = headers;
    send(gateway, envelope, std::move(body));
  }
  void send(FakeGateway& gateway, const Envelope& envelope, std::string body) {
    Buffer payload(std::move(body));
    ASSERT_TRUE(gateway.link->send(envelope, payload));
    settle();
  }
  void settle() {
    while (loop_.turn(Nanos::zero())) {
    }
  }
  void end(FakeGateway& gateway) {
    away_ = true;
    gateway.link.reset();
    settle();
  }
  void come_back(FakeGateway& gateway) {
    away_ = false;
    testing::run_until(loop_, [&] { return up(gateway); });
  }
  void call_app() {
    Envelope call;
    call.target = "app";
    call.app = "shop";
    const auto reply = testing::run(loop_, process_.call(call, Buffer(), loop_.deadline_in(10s)));
    ASSERT_TRUE(reply) << reply.error().message;
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  bool away_ = false;
  FakeGateway first_;
  FakeGateway second_;
  Recorder* recorder_ = nullptr;
  Process process_;
};

TEST_F(TwoGatewaysTest, TheFirstActsForTheAppWhoeverSpokeFirst) {
  tell(second_, true, 5);
  answer_query(second_, 5, "second");
  tell(first_, true, 1);
  answer_query(first_, 1, "first");
  const std::size_t told = recorder_->states.size();

  tell(second_, false, 5);
  answer_query(second_, 5, "second again");

  EXPECT_EQ(recorder_->states.size(), told);  // who does not act is not heard
  EXPECT_TRUE(process_.apps().at("shop").healthy);
  EXPECT_EQ(recorder_->answers.back().body, "first");
  EXPECT_EQ(recorder_->answers.back().incarnation, process_.apps().at("shop").incarnation);
  call_app();
  EXPECT_EQ(first_.calls, 1);
}

TEST_F(TwoGatewaysTest, AnAppStaysKnownWhileOneGatewayStandsForIt) {
  tell(first_, true, 3);
  tell(second_, true, 1);
  answer_query(second_, 1, "second");

  end(first_);

  EXPECT_TRUE(recorder_->gone.empty());
  ASSERT_TRUE(process_.apps().contains("shop"));
  EXPECT_EQ(process_.apps().at("shop").incarnation, 3u);  // the app did not restart
  ASSERT_EQ(recorder_->answers.size(), 1u);
  EXPECT_EQ(recorder_->answers[0].body, "second");
  EXPECT_EQ(recorder_->answers[0].incarnation, 3u);
  call_app();
  EXPECT_EQ(second_.calls, 1);

  tell(second_, true, 2);
  EXPECT_EQ(process_.apps().at("shop").incarnation, 4u);  // now it did
}

TEST_F(TwoGatewaysTest, AGatewayThatComesBackActsOnceItHasFoundTheApp) {
  tell(first_, true, 1);
  tell(second_, true, 1);
  end(first_);
  come_back(first_);

  tell(first_, false, 0);

  EXPECT_TRUE(process_.apps().at("shop").healthy);
  call_app();
  EXPECT_EQ(second_.calls, 1);

  tell(first_, true, 1);

  EXPECT_EQ(process_.apps().at("shop").incarnation, 1u);
  call_app();
  EXPECT_EQ(first_.calls, 1);
}

TEST_F(TwoGatewaysTest, TheOneThatActsIsBelievedThatTheAppIsGone) {
  tell(first_, true, 1);
  tell(second_, true, 1);

  tell(first_, false, 1);

  EXPECT_FALSE(process_.apps().at("shop").healthy);
}

TEST_F(TwoGatewaysTest, AnAppIsGoneOnceNobodyStandsForIt) {
  tell(first_, true, 1);
  tell(second_, true, 1);

  tell(first_, false, 1, 404);
  EXPECT_TRUE(recorder_->gone.empty());
  tell(second_, false, 1, 404);

  EXPECT_EQ(recorder_->gone, std::vector<std::string>{"shop"});
  EXPECT_TRUE(process_.apps().empty());
}

}  // namespace
}  // namespace caisson::sdk
