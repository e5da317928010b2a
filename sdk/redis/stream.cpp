#include "sdk/redis/stream.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace caisson::redis {

namespace {

/// Encrypted at once; what is taken counts as sent, so this bounds what is uncertain after a break.
constexpr std::size_t kTlsPiece = 64U << 10;
constexpr std::size_t kWireBuffer = 32U << 10;

Error broken(std::string_view what, int number) {
  return {Errc::kUnavailable, fmt::format("{}: {}", what, std::strerror(number))};
}

Error closed() { return {Errc::kUnavailable, "the server closed the connection"}; }

/// For connections that wait without a command on the way.
void keep_alive(int fd) {
  const int on = 1;
  const int idle_seconds = 30;
  const int interval_seconds = 10;
  const int probes = 3;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/// A connect to a local port of the ephemeral range that nobody listens on can meet itself: the
/// kernel picks the very port as the source.
bool met_itself(int fd) {
  sockaddr_storage here{};
  sockaddr_storage there{};
  socklen_t here_size = sizeof here;
  socklen_t there_size = sizeof there;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_size) != 0) return false;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_size) != 0) return false;
  return here_size == there_size && std::memcmp(&here, &there, here_size) == 0;
}

}  // namespace

Stream::Stream(EventLoop& loop, int fd, std::unique_ptr<TlsSession> tls)
    : loop_(loop), fd_(fd), tls_(std::move(tls)), watch_(loop, [this](std::uint32_t events) {
        changed_.wake_all();
        if (call_) call_(events);
      }) {}

Stream::~Stream() {
  watch_.stop();
  ::close(fd_);
}

Task<Result<std::unique_ptr<Stream>>> Stream::connect(EventLoop& loop, Endpoint endpoint,
                                                      std::unique_ptr<TlsSession> tls, Deadline deadline) {
  const int fd = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return broken("no socket", errno);
  std::unique_ptr<Stream> stream(new Stream(loop, fd, std::move(tls)));
  keep_alive(fd);
  CO_TRY(stream->watch_.start(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
  auto connected = stream->finish_connect(std::move(endpoint), deadline);
  CO_TRY(co_await std::move(connected));
  if (stream->tls_ != nullptr) {
    auto shaken = stream->shake_hands(deadline);
    CO_TRY(co_await std::move(shaken));
  }
  co_return stream;
}

Task<Result<void>> Stream::finish_connect(Endpoint endpoint, Deadline deadline) {
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0) {
    if (errno != EINPROGRESS) co_return broken("cannot connect", errno);
    const Wake wake = co_await changed_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kUnavailable, "cannot connect: no answer"};
    int failed = 0;
    socklen_t size = sizeof failed;
    if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) failed = errno;
    if (failed != 0) co_return broken("cannot connect", failed);
  }
  if (met_itself(fd_)) co_return broken("cannot connect", ECONNREFUSED);
  co_return ok();
}

Task<Result<void>> Stream::shake_hands(Deadline deadline) {
  while (true) {
    CO_ASSIGN(const bool done, tls_->handshake());
    CO_TRY(flush_tls());
    if (done && tls_output_.empty()) co_return ok();
    char wire[4096];
    CO_ASSIGN(const auto got, receive(wire));
    if (got) {
      tls_->feed({wire, *got});
      continue;
    }
    const Wake wake = co_await changed_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kUnavailable, "TLS handshake failed: no answer"};
  }
}

Result<std::size_t> Stream::write(std::string_view bytes) {
  if (tls_ == nullptr) return send(bytes);
  TRY(flush_tls());
  if (!tls_output_.empty()) return std::size_t{0};
  const std::string_view piece = bytes.substr(0, kTlsPiece);
  TRY(tls_->write(piece));
  TRY(flush_tls());
  return piece.size();
}

Result<std::optional<std::size_t>> Stream::read(std::span<char> to) {
  if (tls_ == nullptr) return receive(to);
  while (true) {
    ASSIGN(const auto got, tls_->read(to));
    if (got && *got == 0) return closed();
    TRY(flush_tls());  // what TLS itself has to say, e.g. a new key
    if (got) return got;
    char wire[kWireBuffer];
    ASSIGN(const auto received, receive(wire));
    if (!received) return std::optional<std::size_t>();
    tls_->feed({wire, *received});
  }
}

Result<void> Stream::flush_tls() {
  tls_->take_output(tls_output_);
  while (!tls_output_.empty()) {
    ASSIGN(const std::size_t sent, send(tls_output_));
    if (sent == 0) break;
    tls_output_.erase(0, sent);
  }
  return ok();
}

Result<std::size_t> Stream::send(std::string_view bytes) {
  while (true) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN) return std::size_t{0};
    if (errno != EINTR) return broken("cannot write", errno);
  }
}

Result<std::optional<std::size_t>> Stream::receive(std::span<char> to) {
  while (true) {
    const ssize_t got = ::recv(fd_, to.data(), to.size(), 0);
    if (got > 0) return std::optional<std::size_t>(static_cast<std::size_t>(got));
    if (got == 0) return closed();
    if (errno == EAGAIN) return std::optional<std::size_t>();
    if (errno != EINTR) return broken("cannot read", errno);
  }
}

}  // namespace caisson::redis
