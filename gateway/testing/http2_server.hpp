#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/task_scope.hpp"
#include "gateway/http2_session.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::gateway::testing {

/// An HTTP/2 server with prior knowledge on 127.0.0.1, on the test's own loop.
class Http2Server {
 public:
  /// Serves one stream, whose head is complete.
  using Serve = std::function<Task<void>(std::shared_ptr<Http2Stream>)>;

  Http2Server(EventLoop& loop, Serve serve, Http2Session::Options options = {})
      : loop_(loop), serve_(std::move(serve)), options_(options), http_(loop, accepts()) {}

  [[nodiscard]] std::uint16_t port() const { return http_.port(); }
  [[nodiscard]] net::Endpoint endpoint() const { return http_.endpoint(); }
  /// Closes the port and all connections, as a killed process does.
  void stop() { http_.stop(); }
  void restart() { http_.restart(); }
  /// Closes all connections; the port stays open.
  void hang_up() { http_.hang_up(); }
  [[nodiscard]] std::size_t accepted() const { return http_.accepted; }
  /// Says GOAWAY on every connection.
  void go_away() {
    for (Peer* peer : peers_) peer->session.go_away();
  }

 private:
  struct Peer final : Http2Session::Handler {
    Peer(Http2Server& of, EventLoop& loop) : server(of), session(loop, *this, of.options_), scope(loop) {
      server.peers_.push_back(this);
    }
    ~Peer() { std::erase(server.peers_, this); }
    void on_request(const std::shared_ptr<Http2Stream>& stream) override { scope.spawn(server.serve_(stream)); }
    void on_closed(Http2Stream&) override {}
    void on_output() override { output.wake_all(); }

    Http2Server& server;
    WaitQueue output;
    Http2Session session;
    TaskScope scope;
  };

  net::testing::HttpServer::Serve accepts() {
    return [this](net::testing::ServerConnection& connection) { return serve_connection(connection); };
  }

  Task<void> serve_connection(net::testing::ServerConnection& connection) {
    Peer peer(*this, loop_);
    peer.session.start();
    TaskScope writer(loop_);
    writer.spawn(write(peer, connection));
    while (!peer.session.over()) {
      auto reading = connection.read_some();
      const std::string bytes = co_await std::move(reading);
      if (bytes.empty() || !peer.session.receive(bytes)) break;
      peer.output.wake_all();
    }
  }

  Task<void> write(Peer& peer, net::testing::ServerConnection& connection) {
    while (true) {
      std::string out;
      if (!peer.session.collect(out, 64 * 1024)) co_return;
      if (out.empty()) {
        co_await peer.output.wait(loop_, Deadline::never());
        continue;
      }
      auto writing = connection.write(std::move(out));
      const bool written = co_await std::move(writing);
      if (!written) co_return;
    }
  }

  EventLoop& loop_;
  Serve serve_;
  Http2Session::Options options_;
  std::vector<Peer*> peers_;
  net::testing::HttpServer http_;  // last: its tasks use the rest
};

}  // namespace caisson::gateway::testing
