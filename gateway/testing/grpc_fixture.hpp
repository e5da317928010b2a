#pragma once

#include <memory>
#include <string>

#include "gateway/testing/gateway_fixture.hpp"
#include "gateway/testing/http2_client.hpp"

namespace caisson::gateway::testing {

enum RpcNumber : std::uint16_t { kUnaryRpc = 20, kStreamRpc, kSelectedRpc, kSmallRpc, kResumableRpc };

inline Route rpc(std::uint16_t number, Rpc kind, std::string path) {
  Route route{.number = number, .rpc = kind, .method = "POST", .path = std::move(path)};
  route.errors = ErrorShape::kGrpc;
  return route;
}

/// A gateway whose fake capability serves gRPC as well, and a client at its gRPC port.
class GrpcTest : public GatewayTest {
 protected:
  void start_grpc(FakeCapability::Serve serve, AppConfig app = {}) {
    Manifest manifest = fake_manifest();
    Route unary = rpc(kUnaryRpc, Rpc::kUnary, "/t.T/Unary");
    unary.group = "things";
    unary.version = "v1";
    Route small = rpc(kSmallRpc, Rpc::kUnary, "/t.T/Small");
    small.body_limit = 16;
    Route selected = rpc(kSelectedRpc, Rpc::kStream, "/t.T/Selected");
    selected.selector = "1";
    Route resumable = rpc(kResumableRpc, Rpc::kStream, "/t.T/Resumable");
    resumable.resumable = true;
    manifest.routes.insert(manifest.routes.end(),
                           {resumable, unary, rpc(kStreamRpc, Rpc::kStream, "/t.T/Stream"), selected, small});
    install(manifest);
    start(std::move(app));
    link(std::move(serve));
    client_ = std::make_unique<Http2Client>(connect());
  }
  void TearDown() override {
    client_.reset();
    GatewayTest::TearDown();
  }

  int connect() { return connect_to(gateway_->grpc_port("shop")); }
  static int connect_to(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    [[maybe_unused]] const int begun = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    return fd;
  }

  void turn_until(const std::function<bool()>& done) {
    run_until(loop_, [&] {
      client_->turn();
      return done();
    });
  }
  Http2Client::Stream& finished(std::int32_t id) {
    turn_until([&] { return client_->stream(id).closed || client_->ended(); });
    return client_->stream(id);
  }

  /// Time passes, and what was due happens.
  void pass(Nanos span) {
    clock_.advance(span);
    for (int i = 0; i < 20; ++i) {
      loop_.turn(Nanos::zero());
      client_->turn();
    }
  }

  /// Never answers; counts those whose caller has left.
  FakeCapability::Serve never(int& taken, int& left) {
    return [this, &taken, &left](Incoming incoming) { return wait(std::move(incoming), taken, left); };
  }
  Task<void> wait([[maybe_unused]] Incoming incoming, int& taken, int& left) {
    struct Leaving {
      int& count;
      explicit Leaving(int& of) : count(of) {}
      Leaving(const Leaving&) = delete;
      ~Leaving() { ++count; }
    };
    const Leaving leaving(left);
    ++taken;
    co_await nobody_.wait(loop_, Deadline::never());
  }

  /// Answers a unary call with what was asked.
  static Task<void> describe(Incoming incoming) {
    const Frame& head = incoming.head();
    std::string said(text(head->path()));
    for (const Field field : head.headers()) said += "|" + std::string(field.name) + ":" + std::string(field.value);
    said += "#" + std::string(head.payload());
    const Field headers[] = {{"x-lead", "1"}, {"grpc-status", "9"}};
    const Field trailers[] = {{"x-trail", "2"}, {"bad name", "x"}};
    Envelope reply;
    reply.headers = headers;
    reply.trailers = trailers;
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, Buffer(std::move(said)));
  }

  /// Gives each piece of the body back as it comes, then ends well.
  static Task<void> reflect(Incoming incoming) {
    Envelope head;
    auto replying = incoming.reply_streamed(head, Buffer::copy_of(incoming.head().payload()));
    auto writer = co_await std::move(replying);
    if (!writer) co_return;
    BodyReader rest = incoming.rest();
    while (true) {
      auto reading = rest.next(Deadline::never());
      auto piece = co_await std::move(reading);
      if (!piece || !*piece) break;
      auto writing = writer->write(**std::move(piece), Deadline::never());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
    }
    BodyEnd end;
    end.status = 10;
    end.message = "a%b\n";
    end.trailers = {{"x-end", "yes"}};
    auto finishing = writer->finish(Deadline::never(), end);
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
  }

  /// Notes what comes of the body, and never answers.
  static Task<void> collect(Incoming incoming, std::string& seen) {
    BodyReader rest = incoming.rest();
    while (true) {
      auto reading = rest.next(Deadline::never());
      const auto piece = co_await std::move(reading);
      if (!piece || !*piece) co_return;
      seen += (*piece)->view();
    }
  }

  /// Echoes once the test lets it.
  Task<void> later(Incoming incoming, WaitQueue& go_on) {
    co_await go_on.wait(loop_, Deadline::never());
    auto echoing = echo(std::move(incoming));
    co_await std::move(echoing);
  }

  /// Notes "TOKEN/FIRST MESSAGE" and sends how many that makes, with a token for the next one.
  static Task<void> subscribe(Incoming incoming, std::vector<std::string>& asked) {
    asked.push_back(std::string(incoming.head().headers().get("caisson-resume-token")) + "/" +
                    std::string(incoming.head().payload()));
    const std::string token = "token" + std::to_string(asked.size());
    const Field headers[] = {{"caisson-resume-token", token}};
    Envelope head;
    head.headers = headers;
    auto replying = incoming.reply_streamed(head, Buffer(framed(std::to_string(asked.size()))));
    auto writer = co_await std::move(replying);
    BodyReader rest = incoming.rest();
    auto reading = rest.next(Deadline::never());  // the client stays
    [[maybe_unused]] const auto left = co_await std::move(reading);
  }

  /// Writes as long as anybody takes it.
  Task<void> pour(Incoming incoming, std::size_t& written) {
    Envelope head;
    auto replying = incoming.reply_streamed(head, Buffer());
    auto writer = co_await std::move(replying);
    while (writer) {
      auto writing = writer->write(Buffer(std::string(16 * 1024, 'w')), Deadline::never());
      const auto sent = co_await std::move(writing);
      if (!sent) co_return;
      written += 16 * 1024;
    }
  }

  WaitQueue nobody_;
  std::unique_ptr<Http2Client> client_;
};

}  // namespace caisson::gateway::testing
