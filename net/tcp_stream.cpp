#include "net/tcp_stream.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace caisson::net {

namespace {

/// Encrypted at once; what is taken counts as sent, so this bounds what is uncertain after a break.
constexpr std::size_t kTlsPiece = 64U << 10;
constexpr std::size_t kWireBuffer = 32U << 10;

Error broken(std::string_view what, int number) {
  return {Errc::kUnavailable, fmt::format("{}: {}", what, std::strerror(number))};
}

int pending_error(int fd) {
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) return errno;
  return number;
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

}  // namespace

TcpStream::TcpStream(EventLoop& loop, int fd, std::unique_ptr<TlsSession> tls)
    : loop_(loop), fd_(fd), tls_(std::move(tls)), watch_(loop, [this](std::uint32_t events) { event(events); }) {}

TcpStream::~TcpStream() {
  watch_.stop();
  ::close(fd_);
}

void TcpStream::event(std::uint32_t events) {
  constexpr std::uint32_t kEnded = EPOLLHUP | EPOLLERR;
  if (!tls_output_.empty() && (events & EPOLLOUT) != 0) (void)flush_tls();  // a failure shows at the next call
  if ((events & (EPOLLOUT | kEnded)) != 0) writable_.wake_all();
  if ((events & (EPOLLIN | EPOLLRDHUP | kEnded)) != 0) {
    may_read_ = true;
    readable_.wake_all();
  }
  if ((events & (EPOLLRDHUP | kEnded)) != 0) hung_up_ = true;
  if (call_) call_(events);
}

// --- opening ---

Result<std::unique_ptr<TcpStream>> TcpStream::adopt(EventLoop& loop, int fd) {
  std::unique_ptr<TcpStream> stream(new TcpStream(loop, fd, nullptr));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  TRY(stream->watch_.start(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
  return stream;
}

Task<Result<std::unique_ptr<TcpStream>>> TcpStream::connect(EventLoop& loop, Endpoint endpoint,
                                                            std::unique_ptr<TlsSession> tls, Deadline deadline) {
  const int fd = ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return Error{Errc::kResourceExhausted, fmt::format("no socket: {}", std::strerror(errno))};
  CO_ASSIGN(auto stream, adopt(loop, fd));
  auto connecting = stream->finish_connect(std::move(endpoint), deadline);
  CO_TRY(co_await std::move(connecting));
  if (tls != nullptr) {
    stream->tls_ = std::move(tls);
    auto shaking = stream->shake_hands(deadline);
    CO_TRY(co_await std::move(shaking));
  }
  co_return stream;
}

Task<Result<void>> TcpStream::finish_connect(Endpoint endpoint, Deadline deadline) {
  const std::string what = "cannot connect to " + endpoint.text;
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0) {
    if (errno != EINPROGRESS) co_return broken(what, errno);
    const Wake wake = co_await writable_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kDeadlineExceeded, what + ": no answer"};
    if (const int number = pending_error(fd_); number != 0) co_return broken(what, number);
  }
  if (met_itself(fd_)) co_return broken(what, ECONNREFUSED);
  co_return ok();
}

Task<Result<void>> TcpStream::shake_hands(Deadline deadline) {
  while (true) {
    CO_ASSIGN(const bool done, tls_->handshake());
    CO_TRY(flush_tls());
    if (done && tls_output_.empty()) co_return ok();
    char wire[4096];
    CO_ASSIGN(const auto got, receive(wire));
    if (got && *got == 0) co_return Error{Errc::kUnavailable, "TLS handshake failed: the server closed the connection"};
    if (got) {
      tls_->feed({wire, *got});
      continue;
    }
    // Bytes of ours that the kernel did not take go on at an event; the peer's answer follows them.
    WaitQueue& next = done ? writable_ : readable_;
    const Wake wake = co_await next.wait(loop_, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kDeadlineExceeded, "TLS handshake failed: no answer"};
  }
}

void TcpStream::keep_alive() {
  const int on = 1;
  const int idle_seconds = 30;
  const int interval_seconds = 10;
  const int probes = 3;
  ::setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

// --- calls that return at once ---

Result<std::size_t> TcpStream::write_some(const Parts& parts) {
  if (tls_ == nullptr) return send(parts);
  TRY(flush_tls());
  std::size_t taken = 0;
  for (std::string_view part : parts) {
    if (!tls_output_.empty()) break;
    const std::string_view piece = part.substr(0, kTlsPiece);
    if (piece.empty()) continue;
    TRY(tls_->write(piece));
    TRY(flush_tls());
    taken += piece.size();
    if (piece.size() < part.size()) break;
  }
  return taken;
}

bool TcpStream::advance(Parts& parts, std::size_t written) {
  bool all = true;
  for (std::string_view& part : parts) {
    const std::size_t taken = std::min(written, part.size());
    part.remove_prefix(taken);
    written -= taken;
    all = all && part.empty();
  }
  return all;
}

Result<std::optional<std::size_t>> TcpStream::read_some(std::span<char> into) {
  if (tls_ == nullptr) return receive(into);
  while (true) {
    ASSIGN(const auto got, tls_->read(into));
    TRY(flush_tls());  // what TLS itself has to say, e.g. a new key
    if (got) return got;
    char wire[kWireBuffer];
    ASSIGN(const auto received, receive(wire));
    if (!received) return std::optional<std::size_t>();
    if (*received == 0) return broken("cannot read", ECONNRESET);  // without TLS' own end: cut off
    tls_->feed({wire, *received});
  }
}

Result<void> TcpStream::flush_tls() {
  tls_->take_output(tls_output_);
  while (!tls_output_.empty()) {
    ASSIGN(const std::size_t sent, send({tls_output_, "", ""}));
    if (sent == 0) break;
    tls_output_.erase(0, sent);
  }
  return ok();
}

Result<std::size_t> TcpStream::send(const Parts& parts) {
  iovec vectors[std::tuple_size_v<Parts>];
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

Result<std::optional<std::size_t>> TcpStream::receive(std::span<char> into) {
  while (may_read_) {
    const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
    if (got >= 0) {
      // Less than there is room for: that was all, and the next byte makes an edge. An end that came
      // in the same event makes none.
      if (static_cast<std::size_t>(got) < into.size() && !hung_up_) may_read_ = false;
      return std::optional<std::size_t>(static_cast<std::size_t>(got));
    }
    if (errno == EAGAIN) break;
    if (errno != EINTR) return broken("cannot read", errno);
  }
  may_read_ = false;
  return std::optional<std::size_t>();
}

bool TcpStream::quiet() {
  char byte = 0;
  if (tls_ != nullptr) {
    // TLS has things to say of its own, e.g. session tickets: only what is left after them counts.
    const auto got = read_some({&byte, 1});
    return got && !*got;
  }
  return ::recv(fd_, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void TcpStream::shut_down() {
  ::shutdown(fd_, SHUT_RDWR);
  may_read_ = hung_up_ = true;
  readable_.wake_all();
  writable_.wake_all();
}

// --- calls that wait ---

Task<Result<void>> TcpStream::write_all(Parts parts, Deadline deadline) {
  while (true) {
    CO_ASSIGN(const std::size_t written, write_some(parts));
    if (advance(parts, written) && tls_output_.empty()) co_return ok();
    if (written > 0 && tls_output_.empty() && tls_ != nullptr) continue;  // no edge follows: the kernel took it all
    const Wake wake = co_await writable_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the peer did not take the bytes in time"};
    }
  }
}

Task<Result<std::size_t>> TcpStream::read(std::span<char> into, Deadline deadline) {
  while (true) {
    CO_ASSIGN(const auto got, read_some(into));
    if (got) co_return *got;
    const Wake wake = co_await readable_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the peer sent nothing in time"};
    }
  }
}

}  // namespace caisson::net
