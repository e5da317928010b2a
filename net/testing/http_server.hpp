#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/task_scope.hpp"
#include "net/tcp_stream.hpp"

namespace caisson::net::testing {

/// A request as it arrived, its body unchunked.
struct SeenRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  /// The first value under the name, whatever its case; empty when there is none.
  [[nodiscard]] std::string header(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
};

/// One accepted connection, read by hand.
class ServerConnection {
 public:
  explicit ServerConnection(std::unique_ptr<TcpStream> socket) : socket_(std::move(socket)) {}

  /// The next request with its body; false at the end.
  Task<bool> read_request(SeenRequest& request);
  /// Only its head.
  Task<bool> read_head(SeenRequest& request);
  /// Some of the bytes after the head; empty at the end.
  Task<std::string> read_some();
  Task<bool> write(std::string bytes);

 private:
  Task<bool> fill();
  Task<bool> read_exactly(std::size_t size, std::string& to);
  Task<bool> read_chunks(std::string& to);

  std::unique_ptr<TcpStream> socket_;
  std::string bytes_;
};

/// An HTTP server on 127.0.0.1 and a port of the system's choosing, on the test's own loop.
class HttpServer {
 public:
  /// Gives the bytes that answer a request; an empty answer closes the connection.
  using Answer = std::function<std::string(const SeenRequest&)>;
  /// Serves a whole connection by itself.
  using Serve = std::function<Task<void>(ServerConnection&)>;

  HttpServer(EventLoop& loop, Answer answer);
  HttpServer(EventLoop& loop, Serve serve);
  ~HttpServer() { stop(); }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] Endpoint endpoint() const;
  /// Closes the port and all connections, as a killed process does.
  void stop();
  /// Closes all connections; the port stays open.
  void hang_up();
  /// Opens the same port again.
  void restart();

  /// Everything that was answered by an Answer.
  std::vector<SeenRequest> requests;
  std::size_t accepted = 0;

 private:
  void listen();
  void accept();
  Task<void> serve(std::unique_ptr<TcpStream> socket);
  Task<void> answer_all(ServerConnection& connection);

  EventLoop& loop_;
  Answer answer_;
  Serve serve_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  FdWatch watch_;
  std::unique_ptr<TaskScope> connections_;
};

/// "HTTP/1.1 STATUS" with the headers and a Content-Length.
std::string reply_text(int status, std::string_view body, std::string_view headers = {});

}  // namespace caisson::net::testing
