// gRPC calls through a whole gateway: a client of nghttp2 on the one side, a fake capability on the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/gzip.hpp"
#include "gateway/testing/grpc_fixture.hpp"
#include "sdk/base64.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(GrpcTest, AUnaryCallCrossesAsOneMessageAndItsAnswerHasTrailers) {
  start_grpc(describe);

  const auto& answer = finished(client_->call("/t.T/Unary", "hello", {{"x-mine", "1"}, {"dapr-api-token", "t"}}));

  EXPECT_EQ(answer.header(":status"), "200");
  EXPECT_EQ(answer.header("content-type"), "application/grpc");
  EXPECT_EQ(answer.header("x-lead"), "1");
  EXPECT_EQ(answer.trailer("grpc-status"), "0");
  EXPECT_EQ(answer.trailer("x-trail"), "2");
  EXPECT_EQ(answer.header("grpc-status"), "");
  EXPECT_EQ(answer.messages(),
            std::vector<std::string>{"/t.T/Unary|:authority:h|content-type:application/grpc|x-mine:1#hello"});
}

TEST_F(GrpcTest, AStreamPassesBothWaysAsItComes) {
  start_grpc(reflect);

  const std::int32_t id = client_->call("/t.T/Stream", "one", {}, false);
  turn_until([&] { return client_->stream(id).messages().size() == 1; });
  client_->send(id, framed("two"), true);

  const auto& answer = finished(id);
  EXPECT_THAT(answer.messages(), ElementsAre("one", "two"));
  EXPECT_EQ(answer.trailer("grpc-status"), "10");
  EXPECT_EQ(answer.trailer("grpc-message"), "a%25b%0A");
  EXPECT_EQ(answer.trailer("x-end"), "yes");
}

TEST_F(GrpcTest, WhatACapabilityMayNotSayDoesNotReachTheClient) {
  start_grpc([](Incoming incoming) -> Task<void> {
    const Field headers[] = {{"connection", "close"}, {"content-length", "7"}};
    const Field trailers[] = {{"transfer-encoding", "chunked"}, {"grpc-message", "other"}};
    Envelope reply;
    reply.status = 17;
    reply.headers = headers;
    reply.trailers = trailers;
    auto replying = incoming.reply(reply, Buffer());
    [[maybe_unused]] const auto sent = co_await std::move(replying);
  });

  const auto& answer = finished(client_->call("/t.T/Unary", ""));

  EXPECT_EQ(answer.error, 0U);
  EXPECT_EQ(answer.grpc_status(), "2");
  EXPECT_EQ(answer.header("grpc-message"), "");
}

TEST_F(GrpcTest, AnUnknownMethodIsUnimplemented) {
  start_grpc(describe);
  EXPECT_EQ(finished(client_->call("/t.T/Nothing", "")).grpc_status(), "12");
}

TEST_F(GrpcTest, WithoutTheTokenACallIsUnauthenticatedWithDetails) {
  AppConfig app;
  app.api_token = "sesame";
  start_grpc(describe, app);

  const auto& missing = finished(client_->call("/t.T/Unary", ""));
  const auto& wrong = finished(client_->call("/t.T/Unary", "", {{"dapr-api-token", "simsim"}}));
  const auto& longer = finished(client_->call("/t.T/Unary", "", {{"dapr-api-token", "sesame!"}}));
  const auto& unknown = finished(client_->call("/t.T/Nothing", ""));
  const auto& right = finished(client_->call("/t.T/Unary", "", {{"dapr-api-token", "sesame"}}));

  EXPECT_EQ(missing.grpc_status(), "16");
  EXPECT_EQ(wrong.grpc_status(), "16");
  EXPECT_EQ(longer.grpc_status(), "16");
  EXPECT_EQ(unknown.grpc_status(), "16");
  std::string details = wrong.header("grpc-status-details-bin");
  while (details.size() % 4 != 0) details += '=';
  EXPECT_THAT(sdk::base64_decode(details).value_or(""), HasSubstr("api token mismatch"));
  EXPECT_EQ(right.grpc_status(), "0");
}

TEST_F(GrpcTest, TheTraceGoesOnInBinaryForm) {
  std::string seen;
  start_grpc([&seen](Incoming incoming) -> Task<void> {
    seen = text(incoming.head()->traceparent());
    return describe(std::move(incoming));
  });
  const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  std::string binary(2, '\0');
  for (std::size_t i = 3; i < 35; i += 2) binary += static_cast<char>(std::stoi(parent.substr(i, 2), nullptr, 16));
  binary += '\1';
  for (std::size_t i = 36; i < 52; i += 2) binary += static_cast<char>(std::stoi(parent.substr(i, 2), nullptr, 16));
  binary += std::string("\2\1", 2);

  const auto& answer =
      finished(client_->call("/t.T/Unary", "",
                             {{"grpc-trace-bin", sdk::base64_encode(binary)},
                              {"traceparent", "00-" + std::string(32, '1') + "-b7ad6b7169203331-01"}}));

  EXPECT_EQ(seen.substr(0, 35), parent.substr(0, 35));
  EXPECT_NE(seen.substr(36, 16), parent.substr(36, 16));
  std::string sent = answer.header("grpc-trace-bin");
  EXPECT_EQ(sent.find('='), std::string::npos);
  while (sent.size() % 4 != 0) sent += '=';
  const std::string bytes = sdk::base64_decode(sent).value_or("");
  ASSERT_EQ(bytes.size(), 29U);
  EXPECT_EQ(bytes.substr(2, 16), binary.substr(2, 16));
}

TEST_F(GrpcTest, BaggageIsCheckedAndEchoed) {
  start_grpc(describe);
  EXPECT_EQ(finished(client_->call("/t.T/Unary", "", {{"baggage", "=;"}})).grpc_status(), "3");
  EXPECT_EQ(finished(client_->call("/t.T/Unary", "", {{"baggage", "a=b"}})).header("baggage"), "a=b");
}

TEST_F(GrpcTest, ACallEndsAtItsDeadlineHereAndThere) {
  int taken = 0;
  int left = 0;
  start_grpc(never(taken, left));
  const std::int32_t unary = client_->call("/t.T/Unary", "", {{"grpc-timeout", "100m"}});
  const std::int32_t stream = client_->call("/t.T/Stream", "", {{"grpc-timeout", "100m"}}, false);
  turn_until([&] { return taken == 2; });

  pass(std::chrono::milliseconds(101));

  EXPECT_EQ(finished(unary).grpc_status(), "4");
  EXPECT_EQ(finished(stream).grpc_status(), "4");
  turn_until([&] { return left == 2; });
}

TEST_F(GrpcTest, AMalformedTimeoutIsAnError) {
  start_grpc(describe);
  for (const char* const timeout : {"1", "S", "-1S", "1x", "123456789S", "1 S"}) {
    EXPECT_EQ(finished(client_->call("/t.T/Unary", "", {{"grpc-timeout", timeout}})).grpc_status(), "13") << timeout;
  }
}

TEST_F(GrpcTest, APackedMessageIsUnpackedWithinTheLimit) {
  start_grpc(describe);
  const auto call = [&](std::string_view path, const std::string& body, const std::string& encoding) {
    const std::int32_t id = client_->request({{":method", "POST"},
                                              {":scheme", "http"},
                                              {":authority", "h"},
                                              {":path", std::string(path)},
                                              {"content-type", "application/grpc+proto"},
                                              {"grpc-encoding", encoding}},
                                             body);
    return finished(id);
  };
  const auto unpacked = call("/t.T/Unary", framed(gzip("hello"), true), "gzip");
  ASSERT_THAT(unpacked.messages(), ElementsAre(EndsWith("#hello")));
  EXPECT_THAT(unpacked.messages().front(), Not(HasSubstr("grpc-encoding")));
  EXPECT_EQ(call("/t.T/Small", framed(gzip(std::string(17, 'x')), true), "gzip").grpc_status(), "8");
  EXPECT_EQ(call("/t.T/Unary", framed("no gzip", true), "gzip").grpc_status(), "13");
  EXPECT_EQ(call("/t.T/Unary", framed(gzip("hello"), true), "snappy").grpc_status(), "12");
  EXPECT_EQ(call("/t.T/Unary", framed(gzip("hello"), true), "snappy").header("grpc-accept-encoding"), "identity,gzip");
  EXPECT_EQ(call("/t.T/Unary", framed(gzip("hello"), true), "identity").grpc_status(), "13");
}

TEST_F(GrpcTest, AUnaryCallHasExactlyOneMessageWithinTheLimit) {
  start_grpc(describe);
  const auto call = [&](std::string_view path, const std::string& body) {
    return finished(client_->request({{":method", "POST"},
                                      {":scheme", "http"},
                                      {":authority", "h"},
                                      {":path", std::string(path)},
                                      {"content-type", "application/grpc"}},
                                     body))
        .grpc_status();
  };
  EXPECT_EQ(call("/t.T/Small", framed(std::string(16, 'x'))), "0");
  EXPECT_EQ(call("/t.T/Small", framed(std::string(17, 'x'))), "8");
  EXPECT_EQ(call("/t.T/Unary", ""), "13");
  EXPECT_EQ(call("/t.T/Unary", framed("a") + framed("b")), "13");
  EXPECT_EQ(call("/t.T/Unary", framed("abc").substr(0, 7)), "13");
  EXPECT_EQ(call("/t.T/Unary", "\2" + framed("abc").substr(1)), "13");
}

TEST_F(GrpcTest, AMessageOverTheLimitIsRefusedBeforeItHasArrived) {
  start_grpc(describe);
  const std::int32_t id = client_->call("/t.T/Small", "", {}, false);
  const std::int32_t other = client_->request({{":method", "POST"},
                                               {":scheme", "http"},
                                               {":authority", "h"},
                                               {":path", "/t.T/Small"},
                                               {"content-type", "application/grpc"}},
                                              std::string("\0\x7F\0\0\0", 5), false);
  EXPECT_EQ(finished(other).grpc_status(), "8");
  client_->reset(id);
}

TEST_F(GrpcTest, AClientThatResetsItsStreamCancelsTheCall) {
  int taken = 0;
  int left = 0;
  start_grpc(never(taken, left));
  const std::int32_t unary = client_->call("/t.T/Unary", "");
  const std::int32_t stream = client_->call("/t.T/Stream", "", {}, false);
  turn_until([&] { return taken == 2; });

  client_->reset(unary);
  client_->reset(stream);

  turn_until([&] { return left == 2; });
}

TEST_F(GrpcTest, AClientThatLeavesCancelsAllItsCalls) {
  int taken = 0;
  int left = 0;
  start_grpc(never(taken, left));
  for (int i = 0; i < 8; ++i) client_->call("/t.T/Unary", "");
  turn_until([&] { return taken == 8; });

  client_ = std::make_unique<Http2Client>(connect());

  turn_until([&] { return left == 8; });
}

TEST_F(GrpcTest, ACallParkedForTooLongIsUnavailableAndAtItsDeadlineLate) {
  start_grpc(describe);
  capability_.reset();
  const std::int32_t parked = client_->call("/t.T/Unary", "");
  const std::int32_t late = client_->call("/t.T/Unary", "", {{"grpc-timeout", "1S"}});
  turn_until([&] { return gateway_->counters().requests_parked == 2; });

  pass(std::chrono::seconds(1));
  EXPECT_EQ(finished(late).grpc_status(), "4");
  pass(std::chrono::seconds(31));
  EXPECT_EQ(finished(parked).grpc_status(), "14");
}

TEST_F(GrpcTest, WhatItsInstanceTookIntoItsGraveHasAnUnknownOutcome) {
  int taken = 0;
  int left = 0;
  start_grpc(never(taken, left));
  const std::int32_t unary = client_->call("/t.T/Unary", "");
  const std::int32_t stream = client_->call("/t.T/Stream", "", {}, false);
  turn_until([&] { return taken == 2; });

  capability_.reset();

  EXPECT_EQ(finished(unary).grpc_status(), "2");
  EXPECT_EQ(finished(stream).grpc_status(), "2");
  EXPECT_EQ(gateway_->counters().requests_unknown_outcome, 2U);
}

TEST_F(GrpcTest, AStreamThatNamesItsComponentIsOpenedWithItsFirstMessage) {
  std::string first;
  start_grpc([&first](Incoming incoming) -> Task<void> {
    first = incoming.head().payload();
    return reflect(std::move(incoming));
  });
  const std::string message = framed(
      "\x0a\x03"
      "box");
  const std::int32_t id = client_->request({{":method", "POST"},
                                            {":scheme", "http"},
                                            {":authority", "h"},
                                            {":path", "/t.T/Selected"},
                                            {"content-type", "application/grpc"}},
                                           message.substr(0, 7), false);
  pass(std::chrono::milliseconds(1));
  EXPECT_EQ(first, "");

  client_->send(id, message.substr(7), true);

  EXPECT_THAT(finished(id).messages(), ElementsAre("\x0a\x03"
                                                   "box"));
  EXPECT_EQ(first, message);
}

TEST_F(GrpcTest, AResumableStreamGoesOnWithTheNextInstance) {
  std::vector<std::string> asked;
  const auto serve = [&asked](Incoming incoming) { return subscribe(std::move(incoming), asked); };
  start_grpc(serve);
  const std::int32_t id = client_->call("/t.T/Resumable", "all", {{"caisson-resume-token", "forged"}}, false);
  turn_until([&] { return client_->stream(id).messages().size() == 1; });

  capability_.reset();
  link(serve, "i2");
  turn_until([&] { return client_->stream(id).messages().size() == 2; });

  EXPECT_THAT(asked, ElementsAre("/" + framed("all"), "token1/" + framed("all")));
  EXPECT_THAT(client_->stream(id).messages(), ElementsAre("1", "2"));
  EXPECT_EQ(client_->stream(id).header("caisson-resume-token"), "");
  client_->reset(id);
}

TEST_F(GrpcTest, AResumableStreamThatBringsSomethingGoesOnForEver) {
  const auto serve = [](Incoming incoming) -> Task<void> {
    const Field headers[] = {{"caisson-resume-token", "t"}};
    Envelope head;
    head.headers = headers;
    auto replying = incoming.reply_streamed(head, Buffer());
    auto writer = co_await std::move(replying);
    if (!writer) co_return;
    auto writing = writer->write(Buffer(framed("1")), Deadline::never());
    [[maybe_unused]] const auto written = co_await std::move(writing);
    BodyReader rest = incoming.rest();
    auto reading = rest.next(Deadline::never());  // the client stays
    [[maybe_unused]] const auto left = co_await std::move(reading);
  };
  start_grpc(serve);
  const std::int32_t id = client_->call("/t.T/Resumable", "", {}, false);
  for (std::size_t i = 1; i <= 6; ++i) {
    turn_until([&] { return client_->stream(id).messages().size() == i || client_->stream(id).closed; });
    capability_.reset();
    link(serve, "i" + std::to_string(i));
  }

  EXPECT_FALSE(client_->stream(id).closed);
  client_->reset(id);
}

TEST_F(GrpcTest, AMessageOverTheLimitOfAResumableStreamIsNotKeptHere) {
  std::string seen;
  start_grpc([&seen](Incoming incoming) { return collect(std::move(incoming), seen); });
  const std::int32_t id = client_->call("/t.T/Resumable", "", {}, false);

  client_->send(id, std::string("\0\x7F\0\0\0too much", 13), false);

  turn_until([&] { return seen.ends_with("too much"); });
  client_->reset(id);
}

TEST_F(GrpcTest, AResumableStreamWhoseInstanceDiesBeforeItAnswersIsOpenedAgain) {
  int taken = 0;
  int left = 0;
  std::vector<std::string> asked;
  start_grpc(never(taken, left));
  const std::int32_t id = client_->call("/t.T/Resumable", "all", {}, false);
  turn_until([&] { return taken == 1; });

  capability_.reset();
  link([&asked](Incoming incoming) { return subscribe(std::move(incoming), asked); }, "i2");
  turn_until([&] { return client_->stream(id).messages().size() == 1 || client_->stream(id).closed; });

  EXPECT_THAT(asked, ElementsAre("/" + framed("all")));
  EXPECT_THAT(client_->stream(id).messages(), ElementsAre("1"));
  client_->reset(id);
}

TEST_F(GrpcTest, AResumableStreamThatBreaksAtOnceIsGivenUp) {
  int opened = 0;
  start_grpc([&opened](Incoming incoming) -> Task<void> {
    ++opened;
    const Field headers[] = {{"caisson-resume-token", "t"}};
    Envelope head;
    head.headers = headers;
    auto replying = incoming.reply_streamed(head, Buffer());
    auto writer = co_await std::move(replying);
    if (writer) writer->fail({Errc::kUnavailable, "not now"});
  });
  EXPECT_EQ(finished(client_->call("/t.T/Resumable", "")).grpc_status(), "14");
  EXPECT_EQ(opened, 4);
}

TEST_F(GrpcTest, MoreThanTheConnectionsWindowMayBeSent) {
  start_grpc(describe);
  for (int i = 0; i < 3; ++i) {
    auto& stream = finished(client_->call("/t.T/Unary", std::string(700'000, 'x')));
    EXPECT_EQ(stream.grpc_status(), "0");
    EXPECT_GT(stream.body.size(), 700'000U);
  }
}

TEST_F(GrpcTest, ACallHasNoTrailersOfOneThatWasResetBeforeItsOwn) {
  start_grpc(describe);
  Http2Client slow(connect(), 16, false);
  const auto turn_slow_until = [&](const std::function<bool()>& done) {
    run_until(loop_, [&] {
      slow.turn();
      return done();
    });
  };
  const std::int32_t first = slow.call("/t.T/Unary", "");
  turn_slow_until([&] { return slow.stream(first).body.size() == 16; });

  slow.reset(first);
  const std::int32_t next = slow.call("/t.T/Unary", "");
  turn_slow_until([&] { return slow.stream(next).headed; });
  slow.open_window(next, 1000);
  turn_slow_until([&] { return slow.stream(next).closed; });

  const auto is_status = [](const auto& trailer) { return trailer.first == "grpc-status"; };
  EXPECT_EQ(std::ranges::count_if(slow.stream(next).trailers, is_status), 1);
}

TEST_F(GrpcTest, AClientThatTakesNothingStopsTheWriter) {
  std::size_t written = 0;
  start_grpc([this, &written](Incoming incoming) { return pour(std::move(incoming), written); });
  client_ = std::make_unique<Http2Client>(connect(), 0, false);

  const std::int32_t id = client_->call("/t.T/Stream", "");
  turn_until([&] { return client_->stream(id).headed; });
  for (int i = 0; i < 200; ++i) pass(std::chrono::milliseconds(1));

  EXPECT_LT(written, 1024U * 1024U);
  EXPECT_EQ(client_->stream(id).body.size(), 0U);
}

TEST_F(GrpcTest, AClientThatIsSlowerThanItsUploadIsStopped) {
  int taken = 0;
  int left = 0;
  start_grpc(never(taken, left));  // reads nothing of the body
  const std::int32_t id = client_->call("/t.T/Stream", "", {}, false);
  client_->send(id, std::string(4 * 1024 * 1024, 'x'), true);
  turn_until([&] { return taken == 1; });

  for (int i = 0; i < 200; ++i) pass(std::chrono::milliseconds(1));

  // What has left the client is bounded by the stream's window and the bus's credit.
  EXPECT_GT(client_->unsent(id), 3U * 1024U * 1024U);
  client_.reset();
  run_until(loop_, [&] { return left == 1; });
}

}  // namespace
}  // namespace caisson::gateway
