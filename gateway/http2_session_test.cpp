// The session by itself, without a connection.
#include "gateway/http2_session.hpp"

#include <gtest/gtest.h>

#include "gateway/testing/http2_frame.hpp"

namespace caisson::gateway {
namespace {

using testing::frame;

const std::string kSettings = frame(4, 0, 0, "");

struct Quiet final : Http2Session::Handler {
  void on_request(const std::shared_ptr<Http2Stream>&) override {}
  void on_closed(Http2Stream&) override {}
  void on_output() override {}
};

class Http2ClientSessionTest : public ::testing::Test {
 protected:
  Http2ClientSessionTest() { session_.start(); }

  static Http2Session::Options client() {
    Http2Session::Options options;
    options.role = Http2Session::Role::kClient;
    return options;
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  Quiet handler_;
  Http2Session session_{loop_, handler_, client()};
};

TEST_F(Http2ClientSessionTest, RequestThatAGoawayOvertookCountsAsNotLookedAt) {
  ASSERT_TRUE(session_.receive(kSettings));
  const std::vector<Field> head = {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  const auto stream = session_.request(head, true);

  ASSERT_TRUE(session_.receive(frame(7, 0, 0, std::string(8, '\0'))));
  std::string out;
  ASSERT_TRUE(session_.collect(out, 64 * 1024));

  EXPECT_TRUE(stream->closed());
  EXPECT_TRUE(stream->refused());
}

TEST_F(Http2ClientSessionTest, FloodIsAnsweredByItsOwnCode) {
  std::string out;
  ASSERT_TRUE(session_.receive(kSettings));
  ASSERT_TRUE(session_.collect(out, 64 * 1024));
  Result<void> flooded = ok();
  for (int i = 0; i < 20'000 && flooded; ++i) {
    flooded = session_.receive(frame(6, 0, 0, "pingping"));
    ASSERT_TRUE(session_.collect(out, 64 * 1024));
  }

  ASSERT_FALSE(flooded);
  EXPECT_EQ(flooded.error().code, Errc::kResourceExhausted);
  EXPECT_TRUE(out.ends_with(frame(7, 0, 0, std::string("\0\0\0\0\0\0\0\x0b", 8))));  // ENHANCE_YOUR_CALM
}

}  // namespace
}  // namespace caisson::gateway
