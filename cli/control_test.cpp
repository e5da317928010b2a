#include "cli/control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "bus/testing/run.hpp"
#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using caisson::testing::run_until;
using ::testing::HasSubstr;

TEST(ControlRequestTest, TheThreeVerbsAreUnderstood) {
  EXPECT_EQ(parse_control_request("status")->verb, Verb::kStatus);
  EXPECT_EQ(parse_control_request("stop")->verb, Verb::kStop);
  const auto restart = parse_control_request("restart pubsub");
  ASSERT_TRUE(restart);
  EXPECT_EQ(restart->verb, Verb::kRestart);
  EXPECT_EQ(restart->name, "pubsub");
}

TEST(ControlRequestTest, AnythingElseIsRefused) {
  for (const char* line :
       {"", "STATUS", "status ", "restart", "restart ", "restart ../x", "restart a b", "restart \x01", "stop now"}) {
    EXPECT_FALSE(parse_control_request(line)) << line;
  }
}

/// A server that answers with the name it was asked to restart.
class ControlServerTest : public ::testing::Test {
 protected:
  static Task<std::string> answer(ControlRequest request) {
    if (request.name == "unknown") co_return error_json(Error{Errc::kNotFound, "no \"unknown\""});
    co_return "{\"name\":\"" + request.name + "\"}";
  }

  void SetUp() override { ASSERT_TRUE(server.listen(path)); }

  /// What a client that sends `bytes` reads until the end of the stream.
  std::string exchange(const std::string& bytes) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    std::string got;
    bool ended = false;
    run_until(loop, [&] {
      char piece[1024];
      const ssize_t size = ::recv(fd, piece, sizeof piece, MSG_DONTWAIT);
      if (size > 0) got.append(piece, static_cast<std::size_t>(size));
      ended = ended || size == 0 || (size < 0 && errno == ECONNRESET);
      return ended;
    });
    ::close(fd);
    return got;
  }

  const SystemClock clock;
  EventLoop loop{clock};
  const TestDir dir;
  std::string path = dir / "caisson.sock";
  ControlServer server{loop, answer};
};

TEST_F(ControlServerTest, ALineIsAnsweredAndTheStreamEnds) {
  EXPECT_EQ(exchange("restart state\n"), "{\"name\":\"state\"}");
}

TEST_F(ControlServerTest, ALineOverTheLimitIsRefusedWithoutWaitingForItsEnd) {
  EXPECT_THAT(exchange(std::string(kControlLineLimit + 50, 'x')), HasSubstr("too long"));
}

TEST_F(ControlServerTest, ALineThatIsNoRequestIsRefused) {
  EXPECT_THAT(exchange("reboot\n"), HasSubstr("expected status"));
}

TEST_F(ControlServerTest, TheSocketIsForThisUserOnly) {
  struct stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
}

TEST_F(ControlServerTest, AnErrorAnswerIsAnErrorForTheClient) {
  Result<std::string> got = std::string();
  std::atomic<bool> done{false};
  std::thread client([&] {
    auto connected = ControlClient::connect(path, std::chrono::seconds(20));
    if (connected) got = connected->ask("restart unknown");
    done = true;
  });

  run_until(loop, [&] { return done.load(); });
  client.join();

  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message, "no \"unknown\"");
}

TEST(ControlClientTest, NobodyThereIsAClearError) {
  const TestDir dir;

  const auto client = ControlClient::connect(dir / "caisson.sock", std::chrono::seconds(1));

  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().message, HasSubstr("no caisson serves"));
}

TEST(ControlClientTest, ATooLongPathIsAClearError) {
  EXPECT_FALSE(ControlClient::connect("/" + std::string(200, 'x'), std::chrono::seconds(1)));
}

}  // namespace
}  // namespace caisson::cli
