#include "net/testing/http_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "bus/wire.hpp"

namespace caisson::net::testing {

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::abort();
}

}  // namespace

std::string SeenRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return {};
}

bool SeenRequest::has(std::string_view name) const {
  for (const auto& header : headers) {
    if (equal_ignoring_case(header.first, name)) return true;
  }
  return false;
}

// --- ServerConnection ---

Task<bool> ServerConnection::fill() {
  char buffer[16 * 1024];
  const auto got = co_await socket_->read(buffer, Deadline::never());
  if (!got || *got == 0) co_return false;
  bytes_.append(buffer, *got);
  co_return true;
}

Task<bool> ServerConnection::read_head(SeenRequest& request) {
  request = SeenRequest();
  std::size_t end = 0;
  while ((end = bytes_.find("\r\n\r\n")) == std::string::npos) {
    if (!co_await fill()) co_return false;
  }
  std::string head = bytes_.substr(0, end + 2);
  bytes_.erase(0, end + 4);
  const std::string line = head.substr(0, head.find("\r\n"));
  const std::size_t space = line.find(' ');
  request.method = line.substr(0, space);
  request.target = line.substr(space + 1, line.rfind(' ') - space - 1);
  for (std::size_t at = line.size() + 2; at < head.size();) {
    const std::size_t stop = head.find("\r\n", at);
    const std::size_t colon = head.find(": ", at);
    request.headers.emplace_back(head.substr(at, colon - at), head.substr(colon + 2, stop - colon - 2));
    at = stop + 2;
  }
  co_return true;
}

Task<bool> ServerConnection::read_exactly(std::size_t size, std::string& to) {
  bool more = true;
  while (more && bytes_.size() < size) more = co_await fill();
  if (!more) co_return false;
  to.append(bytes_, 0, size);
  bytes_.erase(0, size);
  co_return true;
}

Task<bool> ServerConnection::read_chunks(std::string& to) {
  while (true) {
    std::size_t end = 0;
    while ((end = bytes_.find("\r\n")) == std::string::npos) {
      if (!co_await fill()) co_return false;
    }
    const std::size_t size = std::stoul(bytes_.substr(0, end), nullptr, 16);
    bytes_.erase(0, end + 2);
    std::string line_end;
    if (!co_await read_exactly(size, to) || !co_await read_exactly(2, line_end)) co_return false;
    if (size == 0) co_return true;
  }
}

Task<bool> ServerConnection::read_request(SeenRequest& request) {
  if (!co_await read_head(request)) co_return false;
  if (request.header("transfer-encoding") == "chunked") co_return co_await read_chunks(request.body);
  const std::string length = request.header("content-length");
  const std::size_t size = length.empty() ? 0 : std::stoul(length);
  co_return co_await read_exactly(size, request.body);
}

Task<std::string> ServerConnection::read_some() {
  if (bytes_.empty()) co_await fill();
  co_return std::exchange(bytes_, {});
}

Task<bool> ServerConnection::write(std::string bytes) {
  const TcpStream::Parts parts = {bytes, "", ""};
  const auto written = co_await socket_->write_all(parts, Deadline::never());
  co_return written.has_value();
}

// --- HttpServer ---

HttpServer::HttpServer(EventLoop& loop, Answer answer)
    : loop_(loop), answer_(std::move(answer)), watch_(loop, [this](std::uint32_t) { accept(); }) {
  listen();
}

HttpServer::HttpServer(EventLoop& loop, Serve serve)
    : loop_(loop), serve_(std::move(serve)), watch_(loop, [this](std::uint32_t) { accept(); }) {
  listen();
}

Endpoint HttpServer::endpoint() const { return *make_endpoint("127.0.0.1", port_); }

void HttpServer::listen() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  require(listener_ >= 0, "socket");
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  socklen_t size = sizeof address;
  require(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  require(::listen(listener_, 128) == 0, "listen");
  require(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  port_ = ntohs(address.sin_port);
  connections_ = std::make_unique<TaskScope>(loop_);
  require(watch_.start(listener_, EPOLLIN).has_value(), "watch");
}

void HttpServer::accept() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto socket = TcpStream::adopt(loop_, fd);
    require(socket.has_value(), "adopt");
    ++accepted;
    connections_->spawn(serve(std::move(*socket)));
  }
}

void HttpServer::stop() {
  if (listener_ < 0) return;
  watch_.stop();
  ::close(std::exchange(listener_, -1));
  connections_.reset();
}

void HttpServer::hang_up() { connections_ = std::make_unique<TaskScope>(loop_); }

void HttpServer::restart() {
  stop();
  listen();
}

Task<void> HttpServer::serve(std::unique_ptr<TcpStream> socket) {
  ServerConnection connection(std::move(socket));
  if (serve_) {
    co_await serve_(connection);
  } else {
    co_await answer_all(connection);
  }
}

Task<void> HttpServer::answer_all(ServerConnection& connection) {
  SeenRequest request;
  while (co_await connection.read_request(request)) {
    requests.push_back(request);
    std::string answer = answer_(request);
    if (answer.empty() || !co_await connection.write(std::move(answer))) co_return;
  }
}

std::string reply_text(int status, std::string_view body, std::string_view headers) {
  return "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace caisson::net::testing
