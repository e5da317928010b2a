#include "cli/http_get.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::cli {

namespace {

constexpr std::size_t kLargestAnswer = 4 * 1024 * 1024;

Result<std::string> exchange(int fd, std::uint16_t port, const std::string& request, Nanos patience) {
  timeval limit{};
  limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return Error{Errc::kUnavailable, fmt::format("port {}: {}", port, std::strerror(errno))};
  }
  const SystemClock clock;
  const Nanos give_up = clock.now() + patience;
  std::string answer;
  char piece[16 * 1024];
  while (clock.now() < give_up) {
    const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
    if (got == 0) return answer;
    if (got < 0) break;
    answer.append(piece, static_cast<std::size_t>(got));
    if (answer.size() > kLargestAnswer) return Error{Errc::kOutOfRange, "the answer is too long"};
  }
  return Error{Errc::kDeadlineExceeded, fmt::format("port {} does not answer", port)};
}

}  // namespace

Result<std::string> http_get(std::uint16_t port, const std::string& path, Nanos patience) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error{Errc::kResourceExhausted, std::strerror(errno)};
  // HTTP/1.0: the answer is neither chunked nor kept open.
  const std::string request = fmt::format("GET {} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
  auto answer = exchange(fd, port, request, patience);
  ::close(fd);
  if (!answer) return answer;
  const std::size_t body = answer->find("\r\n\r\n");
  const std::size_t space = answer->find(' ');
  if (body == std::string::npos || answer->compare(space + 1, 1, "2") != 0) {
    return Error{Errc::kUnavailable, fmt::format("port {} answered {}", port, answer->substr(0, answer->find("\r\n")))};
  }
  return answer->substr(body + 4);
}

}  // namespace caisson::cli
