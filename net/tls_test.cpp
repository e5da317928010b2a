#include "net/tls.hpp"

#include <gtest/gtest.h>

#include "bus/testing/run.hpp"
#include "net/http1_client.hpp"
#include "net/testing/http_server.hpp"
#include "net/testing/tls_front.hpp"

namespace caisson::net {
namespace {

using caisson::testing::run;
using testing::HttpServer;
using testing::reply_text;
using testing::SeenRequest;
using testing::ServerConnection;
using testing::TlsFront;

class TlsTest : public ::testing::Test {
 protected:
  TlsOptions trusting(const TlsFront& front) {
    TlsOptions options;
    options.authorities.value = front.certificate();
    return options;
  }
  Result<std::unique_ptr<TcpStream>> connect(const TlsFront& front, const TlsOptions& options,
                                             const std::string& host) {
    auto context = TlsContext::make(options);
    if (!context) return std::move(context).error();
    auto session = context->session(host);
    if (!session) return std::move(session).error();
    const Endpoint endpoint = *make_endpoint("127.0.0.1", front.port());
    return run(loop_, TcpStream::connect(loop_, endpoint, *std::move(session), soon()));
  }
  Deadline soon() { return loop_.deadline_in(std::chrono::seconds(20)); }

  SystemClock clock_;
  EventLoop loop_{clock_};
  HttpServer server_{loop_, [](const SeenRequest& seen) { return reply_text(200, seen.body); }};
};

TEST_F(TlsTest, RequestsOverOneKeptConnection) {
  TlsFront front(server_.port(), {});
  auto context = TlsContext::make(trusting(front));
  ASSERT_TRUE(context) << context.error().message;
  int connections = 0;
  Http1Client::Options options;
  options.tls = [&] {
    ++connections;
    return context->session("localhost");
  };
  Http1Client client(loop_, *make_endpoint("localhost", front.port()), std::move(options));
  const std::string body(300'000, 'b');  // more than one TLS record, and than the socket takes at once
  for (int i = 0; i < 3; ++i) {
    auto reply = run(loop_, client.call({.method = "POST"}, {.first = body}, soon()));
    ASSERT_TRUE(reply) << reply.error().message;
    std::string whole;
    while (true) {
      auto piece = run(loop_, reply->next(soon()));
      ASSERT_TRUE(piece) << piece.error().message;
      if (!*piece) break;
      whole += (*piece)->view();
    }
    EXPECT_EQ(whole, body);
  }
  EXPECT_EQ(connections, 1);
}

TEST_F(TlsTest, WhoIsNotTrustedIsRefused) {
  TlsFront front(server_.port(), {});
  TlsFront other(server_.port(), {});
  const auto stream = connect(front, trusting(other), "localhost");
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, Errc::kUnavailable);
  EXPECT_NE(stream.error().message.find("TLS handshake failed"), std::string::npos) << stream.error().message;
}

TEST_F(TlsTest, TheCertificateIsForTheNameOrTheAddress) {
  TlsFront named(server_.port(), {.name = "app.example"});
  EXPECT_TRUE(connect(named, trusting(named), "app.example"));
  EXPECT_FALSE(connect(named, trusting(named), "localhost"));
  TlsFront numbered(server_.port(), {.name = "127.0.0.1"});
  EXPECT_TRUE(connect(numbered, trusting(numbered), "127.0.0.1"));
  EXPECT_FALSE(connect(numbered, trusting(numbered), "127.0.0.2"));
}

TEST_F(TlsTest, WithoutVerificationAnyCertificateWillDo) {
  TlsFront front(server_.port(), {.name = "app.example"});
  TlsOptions options;
  options.verify = false;
  EXPECT_TRUE(connect(front, options, "localhost"));
}

TEST_F(TlsTest, AlpnAgreesOnWhatBothKnow) {
  TlsFront front(server_.port(), {.protocol = "h2"});
  TlsOptions options = trusting(front);
  options.protocols = {"h2", "http/1.1"};
  EXPECT_EQ((*connect(front, options, "localhost"))->protocol(), "h2");
  options.protocols = {"http/1.1"};
  EXPECT_EQ((*connect(front, options, "localhost"))->protocol(), "");
}

Task<void> greet_in_the_clear(ServerConnection& connection) {
  std::string greeting = "220 what is this?\r\n";
  auto writing = connection.write(std::move(greeting));
  co_await std::move(writing);
}

TEST_F(TlsTest, AServerWithoutTlsIsRefused) {
  HttpServer clear(loop_, HttpServer::Serve(greet_in_the_clear));
  auto context = TlsContext::make({});
  const Endpoint endpoint = clear.endpoint();
  const auto stream = run(loop_, TcpStream::connect(loop_, endpoint, *context->session("localhost"), soon()));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, Errc::kUnavailable);
}

TEST(TlsOptionsTest, WhatCannotBeUsedIsNamed) {
  TlsOptions options;
  options.authorities = {"/no/such/file", "rootCA"};
  EXPECT_NE(TlsContext::make(options).error().message.find("'rootCA' cannot be read"), std::string::npos);
  options = {};
  options.key = {"key.pem", "clientKey"};
  EXPECT_NE(TlsContext::make(options).error().message.find("'clientKey' needs"), std::string::npos);
}

}  // namespace
}  // namespace caisson::net
