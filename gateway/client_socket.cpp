#include "gateway/client_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::gateway {

namespace {

Error broke() { return {Errc::kUnavailable, std::string("the connection broke: ") + std::strerror(errno)}; }

}  // namespace

ClientSocket::ClientSocket(EventLoop& loop, int fd)
    : loop_(loop), fd_(fd), watch_(loop, [this](std::uint32_t events) {
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
          readable_ = true;
          can_read_.wake_all();
        }
        if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) can_write_.wake_all();
        if ((events & (EPOLLHUP | EPOLLERR)) != 0) broken_ = true;
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
          hung_up_ = true;
          if (on_hung_up_) on_hung_up_();
        }
      }) {}

ClientSocket::~ClientSocket() {
  watch_.stop();
  ::close(fd_);
}

Result<void> ClientSocket::start() { return watch_.start(fd_, EPOLLIN | EPOLLOUT | EPOLLRDHUP); }

Result<std::optional<std::size_t>> ClientSocket::read_now(std::span<char> to) {
  while (readable_) {
    const ssize_t got = ::recv(fd_, to.data(), to.size(), 0);
    if (got >= 0) {
      // Less than asked for: nothing is left, and the next byte makes an edge. An end that came
      // in the same event makes none.
      if (static_cast<std::size_t>(got) < to.size() && !hung_up_) readable_ = false;
      return static_cast<std::size_t>(got);
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return broke();
    readable_ = false;
  }
  return std::nullopt;
}

Error ClientSocket::silent() { return {Errc::kDeadlineExceeded, "the client sent nothing in time"}; }

Task<Result<std::size_t>> ClientSocket::read(std::span<char> to, Deadline deadline) {
  while (true) {
    const auto got = read_now(to);
    if (!got) co_return got.error();
    if (*got) co_return **got;
    const Wake wake = co_await readable(deadline);
    if (wake == Wake::kDeadline) co_return silent();
  }
}

Result<std::span<iovec>> ClientSocket::write_now(std::span<iovec> pieces) {
  while (!pieces.empty()) {
    if (pieces.front().iov_len == 0) {
      pieces = pieces.subspan(1);
      continue;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return broke();
      return pieces;
    }
    auto left = static_cast<std::size_t>(sent);
    while (left != 0 && left >= pieces.front().iov_len) {
      left -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (left != 0) {
      pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + left;
      pieces.front().iov_len -= left;
    }
  }
  return pieces;
}

Task<Result<void>> ClientSocket::write(std::span<iovec> pieces, Nanos patience) {
  while (true) {
    const Result<std::span<iovec>> left = write_now(pieces);
    if (!left) co_return left.error();
    if (left->empty()) co_return ok();
    pieces = *left;
    const Wake wake = co_await can_write_.wait(loop_, loop_.deadline_in(patience));
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the client took nothing in time"};
    }
  }
}

bool ClientSocket::at_end() const {
  if (broken_) return true;
  if (!hung_up_) return false;
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void ClientSocket::shut_down_writing() { ::shutdown(fd_, SHUT_WR); }

}  // namespace caisson::gateway
