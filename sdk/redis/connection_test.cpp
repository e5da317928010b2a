// A connection against a socket of the test's own, which takes and says exactly what the test wants.
#include "sdk/redis/connection.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "bus/testing/run.hpp"

namespace caisson::redis {
namespace {

using namespace std::chrono_literals;

/// The server's end.
class Peer {
 public:
  Peer() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    endpoint_.size = sizeof address;
    listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listening_, 4), 0);
    EXPECT_EQ(::getsockname(listening_, reinterpret_cast<sockaddr*>(&endpoint_.address), &endpoint_.size), 0);
  }
  ~Peer() {
    hang_up();
    ::close(listening_);
  }

  std::unique_ptr<net::TcpStream> connect(EventLoop& loop) {
    auto stream = caisson::testing::run(loop, net::TcpStream::connect(loop, endpoint_, nullptr, loop.deadline_in(10s)));
    EXPECT_TRUE(stream);
    fd_ = ::accept(listening_, nullptr, nullptr);
    return *std::move(stream);
  }
  void say(std::string_view bytes) { EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), 0), ssize_t(bytes.size())); }
  std::string hear() {
    char buffer[4096];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
  }
  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  net::Endpoint endpoint_;
  int listening_ = -1;
  int fd_ = -1;
};

/// A request with its commands and replies.
struct Question {
  explicit Question(Command command) : commands{std::move(command)}, request(commands, replies) {}
  std::vector<Command> commands;
  std::vector<Reply> replies{1};
  Request request;
};

class ConnectionTest : public ::testing::Test {
 protected:
  std::unique_ptr<Connection> connect(std::function<void(Reply)> pushed = {}) {
    Connection::Options options;
    options.read_timeout = 10s;
    options.ping_after = 10s;
    options.pushed = std::move(pushed);
    return std::make_unique<Connection>(loop_, peer_.connect(loop_), std::move(options));
  }
  void until(const std::function<bool()>& done) { caisson::testing::run_until(loop_, done); }

  SystemClock clock_;
  EventLoop loop_{clock_};
  Peer peer_;
};

TEST_F(ConnectionTest, OnlyWhatHasLeftInPartIsUnknownWhenItBreaks) {
  const auto connection = connect();
  Question answered({"ONE"});
  Question large({"TWO", std::string(64U << 20, 'x')});  // more than the sockets' buffers hold
  Question third({"THREE"});
  Question fourth({"FOUR"});
  for (Question* question : {&answered, &large, &third, &fourth}) connection->send(question->request);
  connection->flush();
  peer_.say("+OK\r\n");
  until([&] { return answered.request.done(); });

  peer_.hang_up();
  until([&] { return connection->broken().has_value(); });
  RequestQueue queue;
  connection->give_back(queue);

  EXPECT_FALSE(answered.request.failure());
  ASSERT_TRUE(large.request.failure());
  EXPECT_EQ(large.request.failure()->code, Errc::kUnknown);
  EXPECT_FALSE(third.request.done());
  ASSERT_EQ(queue.count(), 2U);
  EXPECT_EQ(&queue.pop_front(), &third.request) << "in their order";
  EXPECT_EQ(&queue.pop_front(), &fourth.request);
}

TEST_F(ConnectionTest, RepliesOfThoseWhoLeftAreNotGivenToOthers) {
  const auto connection = connect();
  auto first = std::make_unique<Question>(Command{"ONE"});
  auto second = std::make_unique<Question>(Command{"TWO"});
  Question third({"THREE"});
  connection->send(first->request);
  connection->send(second->request);
  connection->send(third.request);
  connection->flush();

  peer_.say("+1\r\n");
  until([&] { return first->request.done(); });
  first.reset();
  second.reset();
  Question fourth({"FOUR"});
  connection->send(fourth.request);
  peer_.say("+2\r\n+3\r\n+4\r\n");
  until([&] { return fourth.request.done(); });

  EXPECT_EQ(third.replies[0].text, "3");
  EXPECT_EQ(fourth.replies[0].text, "4");
}

TEST_F(ConnectionTest, WhatNobodyAskedForEndsTheConnection) {
  const auto connection = connect();

  peer_.say("-ERR max number of clients reached\r\n");
  until([&] { return connection->broken().has_value(); });

  EXPECT_NE(connection->broken()->message.find("max number of clients"), std::string::npos);
}

TEST_F(ConnectionTest, BytesThatAreNoReplyEndTheConnection) {
  const auto connection = connect();
  Question question({"ONE"});
  connection->send(question.request);
  connection->flush();

  peer_.say("HTTP/1.1 400 Bad Request\r\n\r\n");
  until([&] { return question.request.done(); });

  EXPECT_EQ(question.request.failure()->code, Errc::kUnknown);
}

TEST_F(ConnectionTest, PushedMessagesAreKeptApartFromReplies) {
  std::vector<std::string> pushed;
  const auto connection = connect([&](Reply reply) { pushed.push_back(reply.items.back().text); });
  Question question({"SUBSCRIBE", "a"});
  connection->send(question.request);
  connection->flush();

  peer_.say(
      "*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$5\r\nearly\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
      "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$4\r\nlate\r\n");
  until([&] { return pushed.size() == 2; });

  EXPECT_EQ(pushed, (std::vector<std::string>{"early", "late"}));
  EXPECT_EQ(question.replies[0].items[0].text, "subscribe");
}

TEST_F(ConnectionTest, AnIdleServerIsAskedWhetherItIsThereAndLeftIfNot) {
  Connection::Options options;
  options.read_timeout = 20ms;
  options.ping_after = 20ms;
  Connection connection(loop_, peer_.connect(loop_), std::move(options));

  until([&] { return !connection.idle(); });
  EXPECT_EQ(peer_.hear(), "*1\r\n$4\r\nPING\r\n");
  peer_.say("+PONG\r\n");
  until([&] { return connection.idle(); });
  EXPECT_FALSE(connection.broken());
  until([&] { return connection.broken().has_value(); });  // the next one is not answered
}

}  // namespace
}  // namespace caisson::redis
