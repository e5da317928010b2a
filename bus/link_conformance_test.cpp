#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "bus/link.hpp"
#include "bus/testing/link_rig.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "bus/transport.hpp"

namespace caisson {
namespace {

using testing::answer;
using testing::ask;
using testing::Asked;
using testing::echo;
using ::testing::ElementsAre;
using testing::LinkEnd;
using testing::run;
using testing::run_until;

constexpr auto kSoon = std::chrono::milliseconds(20);
constexpr auto kLong = std::chrono::seconds(60);

/// What every lane owes a link, and the link its users; each lane is one instantiation below.
class LinkConformanceTest : public ::testing::TestWithParam<std::string> {
 protected:
  LinkConformanceTest() : loop_(clock_), transport_(loop_), scope_(loop_) {
    if (GetParam() == "inproc") listen("inproc://test");
    if (GetParam() == "ipc") listen("ipc://" + (directory_.path() / "bus.sock").string());
    if (GetParam() == "tcp") listen("tcp://127.0.0.1:0");
    if (GetParam() == "shm") listen("shm://" + (directory_.path() / "bus.sock").string());
  }

  void listen(const std::string& address) {
    auto made = transport_.make_listener(address);
    ASSERT_TRUE(made) << made.error().message;
    listener_ = *std::move(made);
    const auto listening = listener_->listen([this](std::unique_ptr<Lane> lane) {
      if (keep_lanes_) return lanes_.push_back(std::move(lane));
      gateway_ = std::make_unique<LinkEnd>(loop_, std::move(lane), Side::kGateway, gateway_options_, serve_call_);
    });
    ASSERT_TRUE(listening) << listening.error().message;
  }

  std::unique_ptr<Lane> connect() {
    auto lane = transport_.connect(listener_->address());
    EXPECT_TRUE(lane);
    return lane ? *std::move(lane) : nullptr;
  }

  /// A capability at the other end, serving with `serve`; both ends are ready afterwards.
  void link_up(LinkEnd::Serve serve = echo, Link::Options options = {}) {
    capability_ = std::make_unique<LinkEnd>(loop_, connect(), Side::kCapability, options, std::move(serve));
    run_until(loop_, [this] {
      return capability_->downs > 0 || (gateway_ && gateway_->link->ready() && capability_->link->ready());
    });
  }

  Link& gateway() { return *gateway_->link; }
  Link& capability() { return *capability_->link; }

  SystemClock clock_;
  testing::TemporaryDirectory directory_;
  EventLoop loop_;
  Transport transport_;
  bool keep_lanes_ = false;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Link::Options gateway_options_;
  LinkEnd::Serve serve_call_ = echo;
  // What tasks of a link may still use when the test is over.
  bool begun_ = false;
  bool destroyed_ = false;
  std::optional<Incoming> kept_;
  std::vector<Incoming> waiting_;
  std::size_t written_ = 0;
  std::unique_ptr<LaneListener> listener_;
  std::unique_ptr<LinkEnd> gateway_;
  std::unique_ptr<LinkEnd> capability_;
  TaskScope scope_;
};

/// Sets a flag when the coroutine that holds it is destroyed.
struct Witness {
  explicit Witness(bool& flag) : destroyed(flag) {}
  Witness(const Witness&) = delete;
  ~Witness() { destroyed = true; }
  bool& destroyed;
};

Task<void> hang(EventLoop& loop, Incoming request, bool& begun, bool& destroyed) {
  const Witness witness(destroyed);
  begun = true;
  co_await loop.sleep_until(Deadline::never());
  co_await echo(std::move(request));
}

// --- order, matching, deadline, cancel ---

TEST_P(LinkConformanceTest, RequestsArriveInTheOrderTheyWereSent) {
  std::vector<std::string> seen;
  link_up([&](Incoming request) {
    seen.emplace_back(request.head().payload());
    return echo(std::move(request));
  });
  std::vector<std::string> sent;
  std::vector<std::shared_ptr<Asked>> asked;

  for (int i = 0; i < 200; ++i) {
    sent.push_back(std::to_string(i));
    asked.push_back(Asked::begin(scope_, gateway(), sent.back()));
  }
  run_until(loop_, [&] { return scope_.empty(); });

  EXPECT_EQ(seen, sent);
}

TEST_P(LinkConformanceTest, ManyInterleavedRequestsGetTheirOwnAnswers) {
  std::vector<Incoming>& waiting = waiting_;
  TaskScope answering(loop_);
  struct Keep {
    static Task<void> it(Incoming request, std::vector<Incoming>& waiting) {
      waiting.push_back(std::move(request));
      co_return;
    }
  };
  link_up([&](Incoming request) { return Keep::it(std::move(request), waiting); });
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 200; ++i) asked.push_back(Asked::begin(scope_, gateway(), std::to_string(i)));
  run_until(loop_, [&] { return waiting.size() == 200; });

  std::reverse(waiting.begin(), waiting.end());
  for (Incoming& request : waiting) answering.spawn(echo(std::move(request)));
  waiting.clear();
  run_until(loop_, [&] { return scope_.empty(); });

  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(*asked[i]->answer);
    EXPECT_EQ(**asked[i]->answer, std::to_string(i));
  }
  EXPECT_EQ(gateway().calls_in_flight(), 0u);
}

TEST_P(LinkConformanceTest, TheAskerStopsWaitingAtTheDeadlineAndTheServerIsCancelled) {
  link_up([&](Incoming request) { return hang(loop_, std::move(request), begun_, destroyed_); });

  const auto late = ask(loop_, gateway(), "slow", loop_.deadline_in(kSoon));

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kDeadlineExceeded);
  run_until(loop_, [&] { return destroyed_; });
  run_until(loop_, [&] { return capability().serving() == 0; });
}

TEST_P(LinkConformanceTest, ARequestThatArrivesAfterItsDeadlineIsNotServed) {
  int served = 0;
  link_up([&](Incoming request) {
    ++served;
    return echo(std::move(request));
  });

  const auto late = ask(loop_, gateway(), "late", Deadline::at(Nanos(1)));
  const auto next = ask(loop_, gateway(), "in time");

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kDeadlineExceeded);
  EXPECT_TRUE(next);
  EXPECT_EQ(served, 1);
}

TEST_P(LinkConformanceTest, ADeadlineTravelsAsASpanBetweenHosts) {
  Deadline seen = Deadline::never();
  gateway_options_.same_host = false;
  Link::Options options;
  options.same_host = false;
  link_up(
      [&](Incoming request) {
        seen = request.deadline();
        return echo(std::move(request));
      },
      options);
  const Deadline deadline = loop_.deadline_in(kLong);

  const auto answered = ask(loop_, gateway(), "x", deadline);

  EXPECT_TRUE(answered);
  EXPECT_GE(seen, deadline);
  EXPECT_FALSE(seen.is_never());
}

TEST_P(LinkConformanceTest, DroppingACallDestroysTheTaskThatServesIt) {
  link_up([&](Incoming request) { return hang(loop_, std::move(request), begun_, destroyed_); });
  {
    TaskScope asking(loop_);
    const auto asked = Asked::begin(asking, gateway(), "x");
    run_until(loop_, [&] { return begun_; });
    EXPECT_FALSE(destroyed_);
  }

  run_until(loop_, [&] { return destroyed_; });

  EXPECT_EQ(gateway().calls_in_flight(), 0u);
  run_until(loop_, [&] { return capability().serving() == 0; });
}

TEST_P(LinkConformanceTest, ARequestDroppedWithoutAnAnswerGivesInternal) {
  struct Drop {
    static Task<void> it(Incoming) { co_return; }
  };
  link_up([](Incoming request) { return Drop::it(std::move(request)); });

  const auto answered = ask(loop_, gateway(), "x");

  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, Errc::kInternal);
}

TEST_P(LinkConformanceTest, AnErrorIsAnsweredWithItsCodeAndText) {
  struct Refuse {
    static Task<void> it(Incoming request) {
      Error error{Errc::kNotFound, "no such key"};
      [[maybe_unused]] const auto sent = co_await request.reply_error(std::move(error));
    }
  };
  link_up([](Incoming request) { return Refuse::it(std::move(request)); });

  const auto answered = ask(loop_, gateway(), "x");

  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, Errc::kNotFound);
  EXPECT_EQ(answered.error().message, "no such key");
}

TEST_P(LinkConformanceTest, ACallPassedOnTooOftenIsRefused) {
  link_up();
  struct Pass {
    static Task<Errc> on(Link& link, std::uint8_t hops) {
      Envelope head;
      head.hops = hops;
      Buffer body(std::string("x"));
      const auto reply = co_await link.call(head, body, Deadline::never());
      co_return reply ? Errc::kOk : reply.error().code;
    }
  };

  EXPECT_EQ(run(loop_, Pass::on(gateway(), kMaxHops)), Errc::kOk);
  EXPECT_EQ(run(loop_, Pass::on(gateway(), kMaxHops + 1)), Errc::kInvalidArgument);
}

TEST_P(LinkConformanceTest, EnvelopeFieldsArriveAsTheyWereSent) {
  std::string seen;
  link_up([&](Incoming request) {
    const Frame& head = request.head();
    seen = std::string(text(head->path())) + "|" + std::string(text(head->app())) + "|" +
           std::to_string(head->route()) + "|" + std::string(head.parameters().get("key")) + "|" +
           std::string(head.headers().get("Etag")) + "|" + std::to_string(request_id(head.envelope()).slot);
    return echo(std::move(request));
  });
  struct Send {
    static Task<void> it(Link& link) {
      const Field parameters[] = {{"store", "s"}, {"key", "k"}};
      const Field headers[] = {{"etag", "7"}};
      Envelope head;
      head.path = "/v1.0/state/s/k";
      head.app = "shop";
      head.route = 9;
      head.request = {1, 2, 3};
      head.parameters = parameters;
      head.headers = headers;
      Buffer body;
      EXPECT_TRUE(co_await link.call(head, body, Deadline::never()));
    }
  };

  run(loop_, Send::it(gateway()));

  EXPECT_EQ(seen, "/v1.0/state/s/k|shop|9|k|7|3");
}

// --- streams ---

constexpr std::size_t kPiece = 64 * 1024;
constexpr std::size_t kBody = 8 * 1024 * 1024;

std::string pattern(std::size_t from, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(((from + i) * 2654435761u) >> 16);
  return bytes;
}

Task<void> write_body(BodyWriter writer, std::size_t size, std::size_t& written) {
  while (written < size) {
    Buffer piece(pattern(written, std::min(kPiece, size - written)));
    const std::size_t count = piece.size();
    const auto sent = co_await writer.write(std::move(piece), Deadline::never());
    if (!sent) co_return;
    written += count;
  }
  EXPECT_TRUE(co_await writer.finish(Deadline::never()));
}

Task<void> echo_stream(Incoming request) {
  Envelope head;
  head.status = 200;
  BodyReader reader = request.rest();
  Buffer nothing;
  auto writer = co_await request.reply_streamed(head, std::move(nothing));
  if (!writer) co_return;
  while (true) {
    auto piece = co_await reader.next(Deadline::never());
    if (!piece || !*piece) break;
    Buffer bytes = **std::move(piece);
    if (!co_await writer->write(std::move(bytes), Deadline::never())) co_return;
  }
  [[maybe_unused]] const auto ended = co_await writer->finish(Deadline::never());
}

/// Ends the body with an outcome, and with trailers of so many bytes.
Task<void> end_with_trailers(Incoming request) {
  const std::size_t size = std::stoul(std::string(request.head().payload()));
  const Envelope head;
  Buffer first(std::string("body"));
  auto answering = request.reply_streamed(head, std::move(first));
  auto writer = co_await std::move(answering);
  if (!writer) co_return;
  BodyEnd end;
  end.status = 7;
  end.message = "not yours";
  end.trailers.emplace_back("reason", std::string(size, 'r'));
  auto ending = writer->finish(Deadline::never(), std::move(end));
  const auto ended = co_await std::move(ending);
  EXPECT_EQ(ended ? Errc::kOk : ended.error().code, size > 32 * 1024 ? Errc::kOutOfRange : Errc::kOk);
}

struct Ended {
  Errc error = Errc::kOk;
  BodyEnd end;

  static Task<Ended> of(Link& link, std::string size) {
    Ended out;
    Buffer body(std::move(size));
    auto calling = link.call(Envelope{}, body, Deadline::never());
    auto reply = co_await std::move(calling);
    if (!reply) {
      out.error = reply.error().code;
      co_return out;
    }
    auto reading = reply->rest.all(kBody, Deadline::never());
    const auto rest = co_await std::move(reading);
    if (!rest) out.error = rest.error().code;
    out.end = reply->rest.end();
    co_return out;
  }
};

TEST_P(LinkConformanceTest, ABodyEndsWithItsOutcomeAndTrailers) {
  link_up(end_with_trailers);

  const Ended ended = run(loop_, Ended::of(gateway(), "3"));

  EXPECT_EQ(ended.error, Errc::kOk);
  EXPECT_EQ(ended.end.status, 7);
  EXPECT_EQ(ended.end.message, "not yours");
  ASSERT_EQ(ended.end.trailers.size(), 1U);
  EXPECT_EQ(ended.end.trailers[0], std::make_pair(std::string("reason"), std::string("rrr")));
}

TEST_P(LinkConformanceTest, TrailersOverTheLimitEndTheBodyWithAnError) {
  link_up(end_with_trailers);

  EXPECT_EQ(run(loop_, Ended::of(gateway(), "40000")).error, Errc::kOutOfRange);
  EXPECT_EQ(run(loop_, Ended::of(gateway(), "1")).error, Errc::kOk);
}

TEST_P(LinkConformanceTest, EightMebibytesStreamedBothWaysComeBackIntact) {
  link_up(echo_stream);
  std::size_t& written = written_;
  Buffer nothing;
  auto call = gateway().open(Envelope{}, nothing, Deadline::never());
  ASSERT_TRUE(call);
  scope_.spawn(write_body(std::move(call->body), kBody, written));
  struct Read {
    static Task<Result<std::string>> it(OpenCall& call) {
      CO_ASSIGN(Reply reply, co_await call.reply(Deadline::never()));
      co_return co_await reply.rest.all(kBody, Deadline::never());
    }
  };

  const auto body = run(loop_, Read::it(*call));

  ASSERT_TRUE(body) << body.error().message;
  EXPECT_TRUE(*body == pattern(0, kBody));
}

TEST_P(LinkConformanceTest, AReaderThatDoesNotReadBoundsWhatIsUnderWay) {
  struct Keep {
    static Task<void> it(Incoming request, std::optional<Incoming>& kept) {
      kept.emplace(std::move(request));
      co_return;
    }
  };
  link_up([&](Incoming request) { return Keep::it(std::move(request), kept_); });
  std::size_t& written = written_;
  Buffer nothing;
  auto call = gateway().open(Envelope{}, nothing, Deadline::never());
  ASSERT_TRUE(call);

  scope_.spawn(write_body(std::move(call->body), kBody, written));
  run_until(loop_, [&] { return kept_.has_value(); });
  // Another exchange comes and goes meanwhile, so the stream had every chance to go on.
  Envelope app;
  app.kind = wire::Kind::App;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(gateway().send(app, nothing));
    run_until(loop_, [&] { return capability_->controls.size() == static_cast<std::size_t>(i) + 2; });
  }

  EXPECT_GE(written, 256u * 1024 - kPiece);
  EXPECT_LE(written, 256u * 1024 + kPiece);
  BodyReader reader = kept_->rest();
  const auto body = run(loop_, reader.all(kBody, Deadline::never()));
  ASSERT_TRUE(body);
  EXPECT_TRUE(*body == pattern(0, kBody));
}

TEST_P(LinkConformanceTest, AFirstPieceLargerThanTheWindowDoesNotStopTheStream) {
  link_up(echo_stream);
  const std::string large = pattern(0, 1024 * 1024);
  Buffer first = Buffer::copy_of(large);
  auto call = gateway().open(Envelope{}, first, Deadline::never());
  ASSERT_TRUE(call);
  std::size_t& written = written_;
  scope_.spawn(write_body(std::move(call->body), 1024 * 1024, written));
  struct Read {
    static Task<Result<std::string>> it(OpenCall& call) {
      CO_ASSIGN(Reply reply, co_await call.reply(Deadline::never()));
      co_return co_await reply.rest.all(kBody, Deadline::never());
    }
  };

  const auto body = run(loop_, Read::it(*call));

  ASSERT_TRUE(body);
  EXPECT_TRUE(*body == large);
}

TEST_P(LinkConformanceTest, ABodyCutShortIsAnErrorToItsReader) {
  Result<std::string> seen = std::string();
  bool read = false;
  struct Read {
    static Task<void> it(Incoming request, Result<std::string>& seen, bool& read) {
      BodyReader reader = request.rest();
      seen = co_await reader.all(kBody, Deadline::never());
      read = true;
      co_await echo(std::move(request));
    }
  };
  link_up([&](Incoming request) { return Read::it(std::move(request), seen, read); });
  Buffer first(std::string("begin"));
  auto call = gateway().open(Envelope{}, first, Deadline::never());
  ASSERT_TRUE(call);

  call->body.fail({Errc::kDataLoss, "the client hung up"});
  run_until(loop_, [&] { return read; });

  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, Errc::kDataLoss);
  EXPECT_EQ(seen.error().message, "the client hung up");
}

TEST_P(LinkConformanceTest, AnAnswerBeforeTheEndOfTheRequestStopsItsWriter) {
  link_up(echo);  // answers at once and reads nothing
  Buffer nothing;
  auto call = gateway().open(Envelope{}, nothing, Deadline::never());
  ASSERT_TRUE(call);
  std::size_t& written = written_;
  scope_.spawn(write_body(std::move(call->body), kBody, written));

  const auto reply = run(loop_, call->reply(Deadline::never()));
  run_until(loop_, [&] { return scope_.empty(); });

  EXPECT_TRUE(reply);
  EXPECT_LT(written, kBody);
}

TEST_P(LinkConformanceTest, DroppingAStreamedReplyStopsItsWriter) {
  struct Pour {
    static Task<void> it(Incoming request, bool& destroyed) {
      const Witness witness(destroyed);
      Envelope head;
      Buffer nothing;
      auto writer = co_await request.reply_streamed(head, std::move(nothing));
      if (!writer) co_return;
      std::size_t written = 0;
      co_await write_body(*std::move(writer), ~std::size_t{0}, written);
    }
  };
  link_up([&](Incoming request) { return Pour::it(std::move(request), destroyed_); });
  struct Ask {
    static Task<Result<Reply>> it(Link& link) {
      Envelope head;
      Buffer body;
      co_return co_await link.call(head, body, Deadline::never());
    }
  };
  {
    auto reply = run(loop_, Ask::it(gateway()));
    ASSERT_TRUE(reply);
    EXPECT_EQ(gateway().calls_in_flight(), 1u);
  }

  run_until(loop_, [&] { return destroyed_; });

  EXPECT_EQ(gateway().calls_in_flight(), 0u);
  run_until(loop_, [&] { return capability().serving() == 0; });
}

// --- windows and back-pressure ---

TEST_P(LinkConformanceTest, CallsHaveAWindowOfTheirOwn) {
  gateway_options_.max_asked = 4;
  link_up([&](Incoming request) { return hang(loop_, std::move(request), begun_, destroyed_); });
  for (int i = 0; i < 4; ++i) Asked::begin(scope_, gateway(), "occupied");
  run_until(loop_, [&] { return capability().serving() == 4; });
  ASSERT_FALSE(gateway().has_room());

  const auto answered = ask(loop_, capability(), "call");

  ASSERT_TRUE(answered);
  EXPECT_EQ(*answered, "call");
}

TEST_P(LinkConformanceTest, AFullWindowIsAnAnswerAndRoomIsTold) {
  gateway_options_.max_asked = 1;
  struct Keep {
    static Task<void> it(Incoming request, std::optional<Incoming>& kept) {
      kept.emplace(std::move(request));
      co_return;
    }
  };
  link_up([&](Incoming request) { return Keep::it(std::move(request), kept_); });
  Asked::begin(scope_, gateway(), "first");
  run_until(loop_, [&] { return kept_.has_value(); });
  struct Ask {
    static Task<Errc> once(Link& link, Buffer& body) {
      const Envelope head;
      const auto reply = co_await link.call(head, body, Deadline::never());
      co_return reply ? Errc::kOk : reply.error().code;
    }
    static Task<void> when_there_is_room(Link& link, Buffer& body, Errc& result) {
      while (!link.has_room()) co_await link.room().wait(link.loop(), Deadline::never());
      result = co_await once(link, body);
    }
  };
  Buffer body(std::string("second"));

  EXPECT_EQ(run(loop_, Ask::once(gateway(), body)), Errc::kResourceExhausted);
  EXPECT_EQ(body.view(), "second");

  Errc second = Errc::kUnknown;
  TaskScope waiting(loop_);
  waiting.spawn(Ask::when_there_is_room(gateway(), body, second));
  TaskScope answering(loop_);
  for (int i = 0; i < 2; ++i) {
    run_until(loop_, [&] { return kept_.has_value(); });
    answering.spawn(echo(*std::exchange(kept_, std::nullopt)));
  }
  run_until(loop_, [&] { return waiting.empty(); });
  EXPECT_EQ(second, Errc::kOk);
}

TEST_P(LinkConformanceTest, TooManyRequestsForTheServerAreRefusedAndTheOthersServed) {
  std::vector<Incoming>& kept = waiting_;
  struct Keep {
    static Task<void> it(Incoming request, std::vector<Incoming>& kept) {
      kept.push_back(std::move(request));
      co_return;
    }
  };
  Link::Options options;
  options.max_served = 2;
  link_up([&](Incoming request) { return Keep::it(std::move(request), kept); }, options);
  std::vector<std::shared_ptr<Asked>> asked;

  for (int i = 0; i < 3; ++i) asked.push_back(Asked::begin(scope_, gateway(), "x"));
  run_until(loop_, [&] { return asked[2]->done(); });

  EXPECT_EQ(asked[2]->answer->error().code, Errc::kResourceExhausted);
  EXPECT_EQ(kept.size(), 2u);
  TaskScope answering(loop_);
  for (Incoming& request : kept) answering.spawn(echo(std::move(request)));
  kept.clear();
  run_until(loop_, [&] { return scope_.empty(); });
  EXPECT_TRUE(*asked[0]->answer);
  EXPECT_TRUE(*asked[1]->answer);
}

/// Writes down the numbers that arrive.
class Numbers final : public Lane::Receiver {
 public:
  void on_frame(Frame frame) override { seen.push_back(frame->id()); }
  void on_writable() override { ++writable; }
  void on_down(Error reason) override { down = std::move(reason); }

  std::vector<std::uint64_t> seen;
  int writable = 0;
  std::optional<Error> down;
};

TEST_P(LinkConformanceTest, AFullLaneSaysSoAndLosesNothing) {
  keep_lanes_ = true;
  Numbers here;
  Numbers there;
  auto far = connect();
  Envelope envelope;
  envelope.kind = wire::Kind::Ping;
  Buffer nothing;
  run_until(loop_, [&] { return bool(far->publish(envelope, nothing)); });
  run_until(loop_, [&] { return lanes_.size() == 1; });
  Lane& near = *lanes_.front();
  near.start(here);
  // Nobody reads at the far end until the lane is full.
  std::uint64_t sent = 0;
  while (true) {
    envelope.id = sent + 1;
    Buffer payload(std::string(16 * 1024, 'x'));
    const auto result = near.publish(envelope, payload);
    if (!result) {
      ASSERT_EQ(result.error().code, Errc::kResourceExhausted);
      EXPECT_EQ(payload.size(), 16u * 1024);
      break;
    }
    ++sent;
    ASSERT_LT(sent, 1'000'000u);
    loop_.turn(Nanos::zero());
  }
  const std::uint64_t full_at = sent;

  far->start(there);
  run_until(loop_, [&] { return here.writable > 0; });
  while (sent < full_at + 100) {
    envelope.id = sent + 1;
    Buffer payload(std::string("small"));
    if (near.publish(envelope, payload))
      ++sent;
    else
      loop_.turn(std::chrono::milliseconds(5));
  }
  run_until(loop_, [&] { return there.seen.size() == sent; });

  for (std::uint64_t i = 0; i < sent; ++i) ASSERT_EQ(there.seen[i], i + 1);
  EXPECT_GE(near.counters().full, 1u);
  EXPECT_FALSE(there.down);
}

TEST_P(LinkConformanceTest, APayloadOfSixteenMebibytesPassesAndALargerOneIsRefused) {
  link_up();
  const std::string largest = pattern(0, kMaxPayload);

  const auto passed = ask(loop_, gateway(), largest);
  const auto refused = ask(loop_, gateway(), std::string(kMaxPayload + 1, 'x'));
  const auto after = ask(loop_, gateway(), "still here");

  ASSERT_TRUE(passed) << passed.error().message;
  EXPECT_TRUE(*passed == largest);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  EXPECT_TRUE(after);
}

TEST_P(LinkConformanceTest, AnAnswerThatIsTooLargeMayBeFollowedByAnError) {
  struct Serve {
    static Task<void> it(Incoming request) {
      Envelope head;
      Buffer body(std::string(kMaxPayload + 1, 'x'));
      auto sent = co_await request.reply(head, std::move(body));
      if (sent) co_return;
      Error error = std::move(sent).error();
      [[maybe_unused]] const auto second = co_await request.reply_error(std::move(error));
    }
  };
  link_up([](Incoming request) { return Serve::it(std::move(request)); });

  const auto answered = ask(loop_, gateway(), "x");

  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().code, Errc::kInvalidArgument);
}

/// Memory that counts how often it is released.
struct CountedMemory final : Memory {
  explicit CountedMemory(int& count) : releases(count) {}
  void release() noexcept override {
    ++releases;
    delete this;
  }
  int& releases;
  std::string bytes = std::string(256 * 1024, 'm');
};

TEST_P(LinkConformanceTest, LentPayloadsAreGivenBackOnceEach) {
  link_up();
  int releases = 0;
  struct Ask {
    static Task<void> it(Link& link, int& releases) {
      for (int i = 0; i < 20; ++i) {
        auto* const memory = new CountedMemory(releases);
        const std::string_view bytes = memory->bytes;
        Buffer body(MemoryRef(memory), bytes);
        const Envelope head;
        const auto reply = co_await link.call(head, body, Deadline::never());
        EXPECT_TRUE(reply);
        if (!reply) co_return;
        EXPECT_EQ(reply->head.payload().size(), 256u * 1024);
      }
    }
  };

  run(loop_, Ask::it(gateway(), releases));
  run_until(loop_, [&] { return releases == 20; });
  for (int i = 0; i < 10; ++i) loop_.turn(Nanos::zero());

  EXPECT_EQ(releases, 20);
}

TEST_P(LinkConformanceTest, PayloadsUnderWayWhenALinkEndsAreGivenBack) {
  int releases = 0;
  {
    link_up();
    for (int i = 0; i < 50; ++i) {
      auto* const memory = new CountedMemory(releases);
      const std::string_view bytes = memory->bytes;
      Buffer body(MemoryRef(memory), bytes);
      Envelope app;
      app.kind = wire::Kind::App;
      ASSERT_TRUE(gateway().send(app, body));
    }
    gateway_.reset();
    capability_.reset();
    listener_.reset();
  }
  run_until(loop_, [&] { return releases == 50; });
}

// --- control frames, versions ---

TEST_P(LinkConformanceTest, ControlFramesArriveInOrder) {
  link_up();
  using wire::Kind;

  for (const Kind kind : {Kind::App, Kind::Config, Kind::Status, Kind::Goodbye}) {
    Envelope envelope;
    envelope.kind = kind;
    Buffer payload(std::string(wire::EnumNameKind(kind)));
    ASSERT_TRUE(gateway().send(envelope, payload));
  }
  run_until(loop_, [&] { return capability_->controls.size() == 5; });

  EXPECT_THAT(capability_->controls,
              ElementsAre("Hello:hello", "App:App", "Config:Config", "Status:Status", "Goodbye:Goodbye"));
}

void send_unknown_kind(Link& link) {
  Envelope unknown;
  unknown.kind = static_cast<wire::Kind>(200);
  Buffer nothing;
  ASSERT_TRUE(link.send(unknown, nothing));
}

TEST_P(LinkConformanceTest, APeerOfTheVersionBeforeIsServed) {
  Link::Options older;
  older.schema_version = kSchemaVersion - 1;
  link_up(echo, older);

  const auto answered = ask(loop_, gateway(), "hello");
  const auto called = ask(loop_, capability(), "hello");

  EXPECT_TRUE(answered);
  EXPECT_TRUE(called);
}

TEST_P(LinkConformanceTest, APeerOfTheNextVersionIsServedAndItsUnknownKindsIgnored) {
  Link::Options newer;
  newer.schema_version = kSchemaVersion + 1;
  link_up(echo, newer);

  send_unknown_kind(capability());
  const auto called = ask(loop_, capability(), "hello");
  const auto answered = ask(loop_, gateway(), "hello");

  EXPECT_TRUE(called);
  EXPECT_TRUE(answered);
  EXPECT_EQ(gateway_->downs, 0);
}

TEST_P(LinkConformanceTest, AnUnknownKindFromAPeerOfTheSameVersionEndsTheLink) {
  link_up();

  send_unknown_kind(capability());
  run_until(loop_, [&] { return gateway_->downs == 1; });

  EXPECT_EQ(gateway_->reason_of_down->code, Errc::kDataLoss);
}

TEST_P(LinkConformanceTest, APeerTwoVersionsAheadIsRefused) {
  Link::Options stranger;
  stranger.schema_version = kSchemaVersion + 2;

  link_up(echo, stranger);

  run_until(loop_, [&] { return gateway_ && gateway_->downs == 1; });
  EXPECT_EQ(gateway_->reason_of_down->code, Errc::kFailedPrecondition);
  EXPECT_FALSE(gateway().ready());
}

TEST_P(LinkConformanceTest, NothingIsBegunBeforeThePeersHello) {
  keep_lanes_ = true;
  LinkEnd alone(loop_, connect(), Side::kCapability, {}, echo);

  const auto early = ask(loop_, *alone.link, "x");

  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Errc::kUnavailable);
  EXPECT_FALSE(alone.link->has_room());
}

// --- ends ---

TEST_P(LinkConformanceTest, WhenThePeerGoesEveryWaitingCallEndsAndDownIsToldOnce) {
  link_up([&](Incoming request) { return hang(loop_, std::move(request), begun_, destroyed_); });
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 10; ++i) asked.push_back(Asked::begin(scope_, gateway(), "x"));
  run_until(loop_, [&] { return capability().serving() == 10; });

  capability_.reset();
  run_until(loop_, [&] { return scope_.empty() && gateway_->downs > 0; });
  for (int i = 0; i < 20; ++i) loop_.turn(std::chrono::milliseconds(1));

  for (const auto& one : asked) EXPECT_EQ(one->answer->error().code, Errc::kUnavailable);
  EXPECT_EQ(gateway_->downs, 1);
  EXPECT_EQ(gateway_->reason_of_down->code, Errc::kUnavailable);
}

TEST_P(LinkConformanceTest, WhenTheGatewaysLinkGoesTheCapabilityIsTold) {
  link_up();

  gateway_.reset();
  run_until(loop_, [&] { return capability_->downs > 0; });

  EXPECT_EQ(capability_->downs, 1);
}

TEST_P(LinkConformanceTest, TheLastAnswersOfAPeerThatLeavesAreStillDelivered) {
  link_up();
  Envelope status;
  status.kind = wire::Kind::Status;
  for (int i = 0; i < 100; ++i) {
    Buffer payload(std::to_string(i));
    ASSERT_TRUE(capability().send(status, payload));
  }
  // The frames are with the kernel or beyond once an answer has gone all the way round.
  ASSERT_TRUE(ask(loop_, capability(), "x"));

  capability_.reset();
  run_until(loop_, [&] { return gateway_->downs > 0; });

  EXPECT_EQ(gateway_->controls.size(), 101u);
  EXPECT_EQ(gateway_->controls.back(), "Status:99");
}

TEST_P(LinkConformanceTest, AFreshLinkWorksAfterAReset) {
  link_up();
  ASSERT_TRUE(ask(loop_, gateway(), "one"));
  gateway().close({Errc::kAborted, "reset"});
  run_until(loop_, [&] { return gateway_->downs == 1; });
  gateway_.reset();
  run_until(loop_, [&] { return capability_->downs == 1; });

  link_up();
  const auto answered = ask(loop_, gateway(), "two");

  ASSERT_TRUE(answered);
  EXPECT_EQ(*answered, "two");
}

TEST_P(LinkConformanceTest, TheDownHandlerMayDestroyTheLink) {
  link_up();
  bool told = false;
  gateway_->on_down = [&] {
    gateway_->link.reset();
    told = true;
  };
  const auto asked = Asked::begin(scope_, gateway(), "x");

  capability_.reset();
  run_until(loop_, [&] { return told && scope_.empty(); });

  EXPECT_TRUE(asked->done());
}

TEST_P(LinkConformanceTest, HandlesOfAnExchangeMayOutliveTheirLink) {
  struct Keep {
    static Task<void> it(Incoming request, std::optional<Incoming>& kept) {
      kept.emplace(std::move(request));
      co_return;
    }
  };
  link_up([&](Incoming request) { return Keep::it(std::move(request), kept_); });
  Buffer first(std::string("first"));
  auto call = gateway().open(Envelope{}, first, Deadline::never());
  ASSERT_TRUE(call);
  run_until(loop_, [&] { return kept_.has_value(); });

  capability_.reset();
  gateway_.reset();
  listener_.reset();

  EXPECT_EQ(kept_->head().payload(), "first");
  BodyReader reader = kept_->rest();
  const auto rest = run(loop_, reader.all(kBody, Deadline::never()));
  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().code, Errc::kUnavailable);
  const auto replied = run(loop_, kept_->reply(Envelope{}, Buffer()));
  EXPECT_EQ(replied.error().code, Errc::kUnavailable);
  const auto written = run(loop_, call->body.write(Buffer(std::string("x")), Deadline::never()));
  EXPECT_EQ(written.error().code, Errc::kUnavailable);
  const auto reply = run(loop_, call->reply(Deadline::never()));
  EXPECT_EQ(reply.error().code, Errc::kUnavailable);
}

TEST_P(LinkConformanceTest, SeveralPeersHaveLanesOfTheirOwn) {
  link_up();
  auto first_gateway = std::move(gateway_);
  auto first_capability = std::move(capability_);
  link_up([](Incoming request) { return answer(std::move(request), "second"); });

  EXPECT_EQ(*ask(loop_, *first_gateway->link, "x"), "x");
  EXPECT_EQ(*ask(loop_, gateway(), "x"), "second");

  capability_.reset();
  run_until(loop_, [&] { return gateway_->downs == 1; });
  EXPECT_EQ(first_gateway->downs, 0);
  EXPECT_EQ(*ask(loop_, *first_gateway->link, "still"), "still");
}

TEST_P(LinkConformanceTest, AFrameThatFailsVerificationEndsThatLaneOnly) {
  link_up();
  auto good_gateway = std::move(gateway_);
  auto good_capability = std::move(capability_);
  link_up();

  // Lanes encode what they send, so the one frame that can be wrong is one without a kind.
  Buffer nothing;
  ASSERT_TRUE(capability().lane().publish(Envelope{}, nothing));
  run_until(loop_, [&] { return gateway_->downs == 1; });

  EXPECT_EQ(gateway().lane().counters().refused, 1u);
  EXPECT_EQ(good_gateway->downs, 0);
  EXPECT_TRUE(ask(loop_, *good_gateway->link, "still here"));
}

INSTANTIATE_TEST_SUITE_P(Lanes, LinkConformanceTest, ::testing::Values("inproc", "ipc", "tcp", "shm"),
                         [](const auto& instance) { return instance.param; });

// --- peers in a process of their own ---

/// The program bus/testing/echo_peer.cpp, killed in the end.
class EchoPeer {
 public:
  EchoPeer(const std::string& how, const std::string& address) {
    int output[2];
    EXPECT_EQ(::pipe2(output, O_CLOEXEC), 0);
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(output[1], STDOUT_FILENO);
      ::execl(CAISSON_ECHO_PEER, CAISSON_ECHO_PEER, how.c_str(), address.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(output[1]);
    output_ = output[0];
  }
  ~EchoPeer() {
    kill();
    ::close(output_);
  }

  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = -1;
  }
  std::string address() {
    std::string line;
    char c = 0;
    while (::read(output_, &c, 1) == 1 && c != '\n') line += c;
    return line;
  }

 private:
  pid_t process_ = -1;
  int output_ = -1;
};

class KilledPeerTest : public LinkConformanceTest {
 protected:
  static Task<void> ask_for_ever(Link& link, Errc& result) {
    Envelope head;
    head.path = "/hang";
    Buffer body(std::string("x"));
    const auto reply = co_await link.call(head, body, Deadline::never());
    result = reply ? Errc::kOk : reply.error().code;
  }
};

TEST_P(KilledPeerTest, ACapabilityKilledInTheMiddleEndsItsCallsAndAnotherTakesOver) {
  EchoPeer first("connect", listener_->address());
  run_until(loop_, [&] { return gateway_ && gateway().ready(); });
  ASSERT_EQ(*ask(loop_, gateway(), "x"), "x");
  Errc result = Errc::kOk;
  scope_.spawn(ask_for_ever(gateway(), result));

  first.kill();
  run_until(loop_, [&] { return scope_.empty() && gateway_->downs == 1; });
  gateway_.reset();
  EchoPeer second("connect", listener_->address());
  run_until(loop_, [&] { return gateway_ && gateway().ready(); });

  EXPECT_EQ(result, Errc::kUnavailable);
  EXPECT_EQ(*ask(loop_, gateway(), "y"), "y");
}

TEST_P(KilledPeerTest, AGatewayKilledInTheMiddleEndsTheCapabilitysCallsAndItsAddressIsFreeAgain) {
  const std::string path = GetParam() + "://" + (directory_.path() / "killed.sock").string();
  const std::string address = GetParam() == "tcp" ? "tcp://127.0.0.1:0" : path;
  EchoPeer first("listen", address);
  const auto connected = [&](EchoPeer& peer) {
    auto lane = transport_.connect(peer.address());
    EXPECT_TRUE(lane);
    capability_ = std::make_unique<LinkEnd>(loop_, *std::move(lane), Side::kCapability, Link::Options{}, echo);
    run_until(loop_, [&] { return capability().ready(); });
  };
  connected(first);
  ASSERT_EQ(*ask(loop_, capability(), "x"), "x");
  Errc result = Errc::kOk;
  scope_.spawn(ask_for_ever(capability(), result));

  first.kill();
  run_until(loop_, [&] { return scope_.empty() && capability_->downs == 1; });
  EchoPeer second("listen", address);
  connected(second);

  EXPECT_EQ(result, Errc::kUnavailable);
  EXPECT_EQ(*ask(loop_, capability(), "y"), "y");
}

INSTANTIATE_TEST_SUITE_P(Lanes, KilledPeerTest, ::testing::Values("ipc", "tcp", "shm"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace caisson
