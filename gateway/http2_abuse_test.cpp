// Clients that break the rules of HTTP/2 or wear them out: each costs its own connection and no more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/testing/grpc_fixture.hpp"
#include "gateway/testing/http2_frame.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class Http2AbuseTest : public GrpcTest {
 protected:
  void start_any() {
    start_grpc([this](Incoming incoming) {
      ++served_;
      return describe(std::move(incoming));
    });
  }

  /// Sends the pieces one after the other until the gateway closes the connection.
  std::string wear_out(const std::string& beginning, const std::string& piece, std::size_t times) {
    Client client(gateway_->grpc_port("shop"));
    const std::string all = std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0, "") + beginning;
    run_until(loop_, [&] { return client.send(all); });
    for (std::size_t i = 0; i < times && !client.closed(); ++i) {
      run_until(loop_, [&] { return client.send(piece) || client.closed(); });
      loop_.turn(Nanos::zero());
    }
    run_until(loop_, [&] { return client.closed(); });
    EXPECT_EQ(finished(client_->call("/t.T/Unary", "still there")).grpc_status(), "0");
    return client.received();
  }

  static std::string many(const std::string& frame, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += frame;
    return all;
  }

  int served_ = 0;
};

TEST_F(Http2AbuseTest, AFloodOfPingsEndsTheConnection) {
  start_any();
  wear_out("", many(frame(NGHTTP2_PING, 0, 0, "12345678"), 100), 100);
}

TEST_F(Http2AbuseTest, AFloodOfSettingsEndsTheConnection) {
  start_any();
  wear_out("", many(frame(NGHTTP2_SETTINGS, 0, 0, ""), 100), 100);
}

TEST_F(Http2AbuseTest, AFloodOfPrioritiesEndsTheConnection) {
  start_any();
  wear_out("", many(frame(NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\0\1", 5)), 100), 100);
}

TEST_F(Http2AbuseTest, AFloodOfEmptyDataEndsTheConnection) {
  start_any();
  // POST http /t.T/Stream of h: indexed fields, then literals without indexing.
  std::string head = "\x83\x86";
  head += std::string("\x04\x0b/t.T/Stream\x01\x01h", 15);
  head += std::string(
      "\x0f\x10\x10"
      "application/grpc",
      19);
  wear_out(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, head), many(frame(NGHTTP2_DATA, 0, 1, ""), 100), 100);
}

TEST_F(Http2AbuseTest, AFloodOfContinuationsEndsTheConnection) {
  start_any();
  wear_out(frame(NGHTTP2_HEADERS, 0, 1, "\x82"),
           frame(NGHTTP2_CONTINUATION, 0, 1,
                 std::string("\x00\x01"
                             "a\x01"
                             "b",
                             5)),
           1000);
}

TEST_F(Http2AbuseTest, AStreamThatWasPassedOverEndsTheConnection) {
  start_any();
  const auto get = [](std::uint32_t stream) {
    return frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream, "\x82\x86\x84");
  };
  wear_out(get(5), get(3), 1);
}

TEST_F(Http2AbuseTest, ResettingEveryStreamEndsTheConnection) {
  start_any();
  Http2Client abuser(connect());
  for (int i = 0; i < 20000 && !abuser.went_away() && !abuser.ended(); ++i) {
    const std::int32_t id = abuser.call("/t.T/Unary", "");
    abuser.turn();
    abuser.reset(id);
    abuser.turn();
    if (i % 16 == 0) loop_.turn(Nanos::zero());
  }
  run_until(loop_, [&] {
    abuser.turn();
    return abuser.ended();
  });
  EXPECT_LT(served_, 5000);
  EXPECT_EQ(finished(client_->call("/t.T/Unary", "")).grpc_status(), "0");
}

TEST_F(Http2AbuseTest, AHeadOverTheLimitIsRefusedAndOneFarOverEndsTheConnection) {
  start_any();
  Http2Client::Headers large;
  for (int i = 0; i < 20; ++i) large.emplace_back("x-" + std::to_string(i), std::string(3000, 'x'));
  EXPECT_EQ(finished(client_->call("/t.T/Unary", "", large)).grpc_status(), "8");

  // One entry of the table of 4 kB, named over and over: a small frame that unpacks into a large head.
  std::string entry = std::string(
                          "\x40\x01"
                          "a\x7f\x81\x1e",
                          6) +
                      std::string(4000, 'x');
  wear_out(frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                 "\x82\x86\x84" + entry + std::string(12000, '\xbe')),
           "", 1);
}

TEST_F(Http2AbuseTest, AHeadThatDoesNotEndEndsTheConnection) {
  start_any();
  Client client(gateway_->grpc_port("shop"));
  run_until(loop_, [&] {
    return client.send(std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0, "") +
                       frame(NGHTTP2_HEADERS, 0, 1, "\x82"));
  });
  pass(std::chrono::milliseconds(1));

  pass(std::chrono::seconds(11));

  run_until(loop_, [&] { return client.closed(); });
}

TEST_F(Http2AbuseTest, AnAnswerThatNobodyTakesIsGivenUp) {
  start_any();
  client_ = std::make_unique<Http2Client>(connect(), 0, false);
  const std::int32_t id = client_->call("/t.T/Unary", "");
  turn_until([&] { return client_->stream(id).headed; });

  for (int i = 0; i < 5; ++i) pass(std::chrono::seconds(10));

  turn_until([&] { return client_->stream(id).closed; });
  EXPECT_EQ(client_->stream(id).error, static_cast<std::uint32_t>(NGHTTP2_CANCEL));
}

TEST_F(Http2AbuseTest, AClientThatReadsNothingLosesItsConnection) {
  std::size_t written = 0;
  start_grpc([this, &written](Incoming incoming) { return pour(std::move(incoming), written); });
  Http2Client deaf(connect(), 1 << 30);
  deaf.open_window(0, 1 << 30);
  deaf.call("/t.T/Stream", "");
  deaf.turn();
  std::size_t before = 1;
  run_until(loop_, [&] {
    loop_.turn(Nanos::zero());
    return written != 0 && std::exchange(before, written) == written;
  });
  const std::uint64_t open = gateway_->counters().connections_open;

  pass(std::chrono::seconds(31));

  run_until(loop_, [&] { return gateway_->counters().connections_open == open - 1; });
}

TEST_F(Http2AbuseTest, AnIdleClientIsPingedAndOneThatIsSilentIsDropped) {
  start_any();
  finished(client_->call("/t.T/Unary", ""));
  Client silent(gateway_->grpc_port("shop"));
  run_until(loop_, [&] { return silent.send(std::string(kPreface) + frame(NGHTTP2_SETTINGS, 0, 0, "")); });
  pass(std::chrono::milliseconds(1));

  pass(std::chrono::milliseconds(10001));
  pass(std::chrono::milliseconds(5001));

  run_until(loop_, [&] { return silent.closed(); });
  EXPECT_FALSE(client_->ended());
}

TEST_F(Http2AbuseTest, AConnectionWithoutStreamsEndsAfterTheIdleTime) {
  start_any();
  finished(client_->call("/t.T/Unary", ""));
  for (int i = 0; i < 19 && !client_->ended(); ++i) pass(std::chrono::milliseconds(10001));
  turn_until([&] { return client_->ended(); });
  EXPECT_TRUE(client_->went_away());
  EXPECT_EQ(client_->away_code(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
}

}  // namespace
}  // namespace caisson::gateway
