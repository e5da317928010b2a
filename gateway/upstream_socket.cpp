#include "gateway/upstream_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace caisson::gateway {

namespace {

Error broken(std::string_view what, int number) {
  return {Errc::kUnavailable, std::string(what) + ": " + std::strerror(number)};
}

/// A connect to a local port of the ephemeral range that nobody listens on can meet itself: the
/// kernel picks the very port as the source. That is nobody, too.
bool met_itself(int fd) {
  sockaddr_storage here{};
  sockaddr_storage there{};
  socklen_t here_size = sizeof here;
  socklen_t there_size = sizeof there;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_size) != 0) return false;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_size) != 0) return false;
  return here_size == there_size && std::memcmp(&here, &there, here_size) == 0;
}

int pending_error(int fd) {
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) return errno;
  return number;
}

}  // namespace

bool Endpoint::operator==(const Endpoint& other) const {
  return size == other.size && std::memcmp(&address, &other.address, size) == 0;
}

Result<Endpoint> make_endpoint(std::string_view host, std::uint16_t port) {
  std::string name(host == "localhost" ? std::string_view("127.0.0.1") : host);
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  Endpoint endpoint;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&endpoint.address);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&endpoint.address);
  if (::inet_pton(AF_INET, name.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    endpoint.size = sizeof *v4;
    endpoint.text = std::string(host) + ":" + std::to_string(port);
    return endpoint;
  }
  if (::inet_pton(AF_INET6, name.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    endpoint.size = sizeof *v6;
    endpoint.text = "[" + name + "]:" + std::to_string(port);
    return endpoint;
  }
  return Error{Errc::kInvalidArgument, "address '" + std::string(host) + "' is neither an IP address nor localhost"};
}

UpstreamSocket::UpstreamSocket(EventLoop& loop, int fd)
    : loop_(loop), fd_(fd), watch_(loop, [this](std::uint32_t events) { event(events); }) {}

UpstreamSocket::~UpstreamSocket() {
  watch_.stop();
  ::close(fd_);
}

Result<std::unique_ptr<UpstreamSocket>> UpstreamSocket::adopt(EventLoop& loop, int fd) {
  std::unique_ptr<UpstreamSocket> socket(new UpstreamSocket(loop, fd));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  TRY(socket->watch_.start(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
  return socket;
}

void UpstreamSocket::event(std::uint32_t events) {
  constexpr std::uint32_t kEnded = EPOLLHUP | EPOLLERR;
  if ((events & (EPOLLOUT | kEnded)) != 0) writable_.wake_all();
  if ((events & (EPOLLIN | EPOLLRDHUP | kEnded)) == 0) return;
  readable_.wake_all();
  if (arrived_) arrived_();
}

Task<Result<std::unique_ptr<UpstreamSocket>>> UpstreamSocket::connect(EventLoop& loop, const Endpoint& endpoint,
                                                                      Deadline deadline) {
  const int fd = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return Error{Errc::kResourceExhausted, std::string("no socket: ") + std::strerror(errno)};
  CO_ASSIGN(auto socket, adopt(loop, fd));
  const std::string what = "cannot connect to " + endpoint.text;
  const auto* const address = reinterpret_cast<const sockaddr*>(&endpoint.address);
  if (::connect(fd, address, endpoint.size) != 0) {
    if (errno != EINPROGRESS) co_return broken(what, errno);
    const Wake wake = co_await socket->writable_.wait(loop, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, what + ": no answer"};
    }
    if (const int number = pending_error(fd); number != 0) co_return broken(what, number);
  }
  if (met_itself(fd)) co_return broken(what, ECONNREFUSED);
  co_return socket;
}

Result<std::size_t> UpstreamSocket::write_some(const Parts& parts) {
  iovec vectors[3];
  for (std::size_t i = 0; i < parts.size(); ++i) {
    vectors[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
  }
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = parts.size();
  while (true) {
    const ssize_t written = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (written >= 0) return static_cast<std::size_t>(written);
    if (errno == EAGAIN) return std::size_t{0};
    if (errno != EINTR) return broken("cannot write", errno);
  }
}

bool UpstreamSocket::advance(Parts& parts, std::size_t written) {
  bool all = true;
  for (std::string_view& part : parts) {
    const std::size_t taken = std::min(written, part.size());
    part.remove_prefix(taken);
    written -= taken;
    all = all && part.empty();
  }
  return all;
}

Task<Result<void>> UpstreamSocket::write_all(Parts parts, Deadline deadline) {
  while (true) {
    CO_ASSIGN(const std::size_t written, write_some(parts));
    if (advance(parts, written)) co_return ok();
    const Wake wake = co_await writable_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the peer did not take the bytes in time"};
    }
  }
}

Task<Result<std::size_t>> UpstreamSocket::read(std::span<char> into, Deadline deadline) {
  while (true) {
    const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
    if (got >= 0) co_return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return broken("cannot read", errno);
    const Wake wake = co_await readable_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the peer sent nothing in time"};
    }
  }
}

bool UpstreamSocket::quiet() const {
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void UpstreamSocket::shut_down() {
  ::shutdown(fd_, SHUT_RDWR);
  readable_.wake_all();
  writable_.wake_all();
}

}  // namespace caisson::gateway
