#include "gateway/calls.hpp"

#include <gtest/gtest.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/testing/link_pair.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::gateway {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::LinkPair;
using testing::WholeReply;

class NobodyWatches final : public AppObserver {
 public:
  void app_changed(const AppChannel&) override {}
  void app_answered(const AppChannel&, const std::string&, std::uint16_t, const std::string&) override {}
};

/// One app, `shop`; one target, `vault.open`, granted to `books` like the app.
class Targets final : public CallTargets {
 public:
  AppChannel* app(std::string_view id) override { return id == "shop" ? channel : nullptr; }
  [[nodiscard]] bool granted(std::string_view capability, std::string_view target) const override {
    return capability == "books" && (target == "app" || target == "vault.open" || target == "nobody.serves");
  }
  Task<Result<Link*>> instance_serving(std::string target, Deadline) override {
    if (target != "vault.open") co_return Error{Errc::kNotFound, "no manifest serves '" + target + "'"};
    if (instance == nullptr) co_return Error{Errc::kUnavailable, "no instance"};
    co_return instance;
  }

  AppChannel* channel = nullptr;
  Link* instance = nullptr;
};

class CallsTest : public ::testing::Test {
 protected:
  CallsTest() {
    books_ =
        std::make_unique<LinkPair>(loop_, [this](Incoming call) { return calls_.serve("books", std::move(call)); });
  }

  /// Links the capability that serves `vault.open`.
  void open_vault(LinkPair::Serve serve) {
    vault_ = std::make_unique<LinkPair>(loop_, LinkPair::refuse, std::move(serve));
    targets_.instance = &vault_->gateway;
  }

  Task<Result<WholeReply>> call_of(Envelope envelope, std::string body) {
    Buffer payload(std::move(body));
    const Deadline deadline = loop_.deadline_in(std::chrono::seconds(60));
    co_return co_await testing::whole(books_->capability.call(envelope, payload, deadline), deadline);
  }
  Result<WholeReply> call(std::string_view target, std::string_view app = "shop", std::uint8_t hops = 0) {
    Envelope envelope;
    envelope.target = target;
    envelope.app = app;
    envelope.hops = hops;
    return run(loop_, call_of(envelope, "body"));
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  Targets targets_;
  GatewayCounters counters_;
  Calls calls_{loop_, targets_, counters_};
  std::unique_ptr<LinkPair> vault_;
  std::unique_ptr<LinkPair> books_;
  TaskScope scope_{loop_};
};

TEST_F(CallsTest, CallThatNoManifestGrantsIsDeniedAndCounted) {
  const auto denied = call("vault.close");

  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Errc::kPermissionDenied);
  EXPECT_EQ(counters_.calls_denied, 1U);
  EXPECT_EQ(counters_.calls, 1U);
}

TEST_F(CallsTest, CallToAnAppThatIsServedElsewhereIsNotFound) {
  const auto refused = call("app", "elsewhere");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNotFound);
}

TEST_F(CallsTest, CallToTheAppReachesIt) {
  net::testing::HttpServer app(
      loop_, [](const net::testing::SeenRequest& seen) { return net::testing::reply_text(201, seen.body); });
  NobodyWatches observer;
  AppConfig config;
  config.id = "shop";
  config.app_port = app.port();
  AppChannel channel(loop_, config, observer);
  channel.start();
  run_until(loop_, [&] { return channel.reachable(); });
  targets_.channel = &channel;
  Envelope envelope;
  envelope.target = "app";
  envelope.app = "shop";
  envelope.method = "POST";

  const auto reply = run(loop_, call_of(envelope, "body"));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->body, "body");
}

TEST_F(CallsTest, CallToAnotherCapabilityIsPassedOnWithOneMoreHop) {
  std::string seen;
  open_vault([&](Incoming request) {
    auto serve = [](Incoming incoming, std::string& to) -> Task<void> {
      const Frame& head = incoming.head();
      to = std::string(text(head->target())) + " " + std::string(text(head->app())) + " " +
           std::to_string(head->hops()) + " " + std::string(text(head->method())) + " " +
           std::string(text(head->path())) + " " + std::string(text(head->query())) + " " +
           std::string(head.parameters().get("name")) + " " + std::string(head.headers().get("x")) + " " +
           std::string(head.payload()) + " " + std::string(text(head->traceparent()));
      const std::vector<Field> headers = {{"y", "2"}};
      Envelope reply;
      reply.status = 202;
      reply.headers = headers;
      [[maybe_unused]] const auto told = co_await incoming.reply(reply, Buffer(std::string("opened")));
    };
    return serve(std::move(request), seen);
  });
  const std::vector<Field> parameters = {{"name", "n"}};
  const std::vector<Field> headers = {{"x", "1"}};
  Envelope envelope;
  envelope.target = "vault.open";
  envelope.app = "shop";
  envelope.hops = 1;
  envelope.method = "PUT";
  envelope.path = "/p";
  envelope.query = "q=1";
  envelope.parameters = parameters;
  envelope.headers = headers;
  envelope.traceparent = "00-1-2-01";

  const auto reply = run(loop_, call_of(envelope, "body"));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(seen, "vault.open shop 2 PUT /p q=1 n 1 body 00-1-2-01");
  EXPECT_EQ(reply->status, 202);
  EXPECT_EQ(reply->body, "opened");
  ASSERT_EQ(reply->headers.size(), 1U);
  EXPECT_EQ(reply->headers[0].second, "2");
  EXPECT_EQ(counters_.calls_forwarded, 1U);
}

TEST_F(CallsTest, ErrorOfTheOtherCapabilityIsTheCallersError) {
  open_vault([](Incoming request) -> Task<void> {
    Error error{Errc::kDataLoss, "the vault is damaged"};
    [[maybe_unused]] const auto told = co_await request.reply_error(std::move(error));
  });

  const auto failed = call("vault.open");

  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kDataLoss);
  EXPECT_EQ(failed.error().message, "the vault is damaged");
}

TEST_F(CallsTest, CallThatWasPassedOnTooOftenIsRefused) {
  bool reached = false;
  open_vault([&](Incoming request) {
    reached = true;
    return LinkPair::refuse(std::move(request));
  });

  const auto refused = call("vault.open", "shop", kMaxHops);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kFailedPrecondition);
  EXPECT_FALSE(reached);
  EXPECT_EQ(counters_.calls_over_hop_limit, 1U);
}

TEST_F(CallsTest, TargetThatNobodyServesAndTargetWithoutInstanceAreToldApart) {
  const auto nobody = call("nobody.serves");
  const auto away = call("vault.open");

  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Errc::kNotFound);
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, Errc::kUnavailable);
}

/// Sends back every piece as it comes.
Task<void> echo(Incoming request) {
  Envelope reply;
  reply.status = 200;
  BodyReader rest = request.rest();
  Result<BodyWriter> writer = co_await request.reply_streamed(reply, Buffer::copy_of(request.head().payload()));
  if (!writer) co_return;
  while (true) {
    auto piece = co_await rest.next(Deadline::never());
    if (!piece) {
      writer->fail(piece.error());
      co_return;
    }
    if (!*piece) break;
    if (!co_await writer->write(std::move(**piece), Deadline::never())) co_return;
  }
  [[maybe_unused]] const auto ended = co_await writer->finish(Deadline::never());
}

Task<void> write_pieces(BodyWriter writer, const std::string& content, std::optional<Error> end) {
  for (std::size_t at = 0; at < content.size(); at += 100'000) {
    Buffer piece = Buffer::copy_of(std::string_view(content).substr(at, 100'000));
    if (!co_await writer.write(std::move(piece), Deadline::never())) co_return;
  }
  if (end) {
    writer.fail(*std::move(end));
  } else {
    [[maybe_unused]] const auto ended = co_await writer.finish(Deadline::never());
  }
}

class StreamedCallTest : public CallsTest {
 protected:
  Result<WholeReply> stream(const std::string& content, std::optional<Error> end) {
    open_vault(echo);
    Envelope envelope;
    envelope.target = "vault.open";
    Buffer nothing;
    auto open = books_->capability.open(envelope, nothing, Deadline::never());
    if (!open) return open.error();
    scope_.spawn(write_pieces(std::move(open->body), content, std::move(end)));
    return run(loop_, testing::whole(open->reply(Deadline::never()), Deadline::never()));
  }
};

TEST_F(StreamedCallTest, BodiesArePassedThroughInBothDirections) {
  std::string content(8 * 1024 * 1024, ' ');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i * 31 % 26);

  const auto reply = stream(content, std::nullopt);

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_TRUE(reply->body == content);
}

/// Answers with gRPC's status, text and trailers: at the end of a body, or with the whole of it.
Task<void> end_with_trailers(Incoming request) {
  if (!request.head().streamed()) {
    const std::vector<Field> trailers = {{"x-tail", "t"}};
    Envelope reply;
    reply.status = 5;
    reply.message = "gone";
    reply.trailers = trailers;
    auto replying = request.reply(reply, Buffer());
    [[maybe_unused]] const auto replied = co_await std::move(replying);
    co_return;
  }
  const Envelope head;
  auto beginning = request.reply_streamed(head, Buffer());
  auto writer = co_await std::move(beginning);
  BodyEnd end{5, "gone", {{"x-tail", "t"}}};
  auto finishing = writer->finish(Deadline::never(), std::move(end));
  [[maybe_unused]] const auto finished = co_await std::move(finishing);
}

TEST_F(StreamedCallTest, WhatEndsABodyIsPassedOnWithIt) {
  open_vault(end_with_trailers);
  Envelope envelope;
  envelope.target = "vault.open";
  Buffer nothing;
  auto open = books_->capability.open(envelope, nothing, Deadline::never());
  ASSERT_TRUE(open);

  auto reply = run(loop_, open->reply(Deadline::never()));
  ASSERT_TRUE(reply) << reply.error().message;
  const auto rest = run(loop_, reply->rest.all(100, Deadline::never()));

  ASSERT_TRUE(rest);
  EXPECT_EQ(reply->rest.end().status, 5);
  EXPECT_EQ(reply->rest.end().message, "gone");
  EXPECT_EQ(reply->rest.end().trailers.size(), 1U);
}

TEST_F(StreamedCallTest, StatusTextAndTrailersOfAWholeAnswerArePassedOn) {
  open_vault(end_with_trailers);
  Envelope envelope;
  envelope.target = "vault.open";
  Buffer nothing;

  const auto reply = run(loop_, books_->capability.call(envelope, nothing, Deadline::never()));

  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->head->status(), 5);
  EXPECT_EQ(text(reply->head->message()), "gone");
  EXPECT_EQ(Fields(reply->head->trailers()).get("x-tail"), "t");
}

TEST_F(StreamedCallTest, BodyThatFailsFailsOnTheOtherSideToo) {
  const auto reply = stream("a beginning", Error{Errc::kAborted, "the file is gone"});

  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::kAborted);
}

}  // namespace
}  // namespace caisson::gateway
