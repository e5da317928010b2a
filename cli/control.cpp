#include "cli/control.hpp"

#include <fmt/format.h>
#include <simdjson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bus/json_writer.hpp"
#include "bus/log.hpp"

namespace caisson::cli {

namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{Errc::kInvalidArgument, fmt::format("{} is too long for a socket's name", path)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool peer_is_allowed(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace

Result<ControlRequest> parse_control_request(std::string_view line) {
  if (line == "status") return ControlRequest{Verb::kStatus, {}};
  if (line == "stop") return ControlRequest{Verb::kStop, {}};
  constexpr std::string_view kRestart = "restart ";
  if (line.starts_with(kRestart)) {
    const std::string_view name = line.substr(kRestart.size());
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    });
    if (!plain) return Error{Errc::kInvalidArgument, "restart needs the name of a process"};
    return ControlRequest{Verb::kRestart, std::string(name)};
  }
  return Error{Errc::kInvalidArgument, "expected status, stop or restart NAME"};
}

std::string error_json(const Error& error) {
  JsonWriter json;
  json.begin_object().key("error").value(error.message).end_object();
  return json.take();
}

/// One connection's descriptor with waiting reads and writes.
class ControlServer::Socket {
 public:
  Socket(EventLoop& loop, int fd) : loop_(loop), fd_(fd), watch_(loop, [this](std::uint32_t) { ready_.wake_all(); }) {}
  ~Socket() {
    watch_.stop();
    ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  Result<void> start() { return watch_.start(fd_, EPOLLIN | EPOLLOUT); }

  /// A line of at most kControlLineLimit bytes, without its end.
  Task<Result<std::string>> read_line(Deadline deadline) {
    std::string line;
    while (true) {
      char piece[kControlLineLimit + 1];
      const ssize_t got = ::recv(fd_, piece, sizeof piece - line.size(), MSG_DONTWAIT);
      if (got < 0 && errno != EAGAIN && errno != EINTR) {
        co_return Error{Errc::kUnavailable, std::strerror(errno)};
      }
      if (got == 0) co_return Error{Errc::kUnavailable, "the client went away"};
      if (got > 0) {
        line.append(piece, static_cast<std::size_t>(got));
        const std::size_t end = line.find('\n');
        if (end != std::string::npos) co_return line.substr(0, end);
        if (line.size() > kControlLineLimit) {
          co_return Error{Errc::kInvalidArgument, "the line is too long"};
        }
        continue;
      }
      const Wake wake = co_await ready_.wait(loop_, deadline);
      if (wake == Wake::kDeadline) {
        co_return Error{Errc::kDeadlineExceeded, "no line came"};
      }
    }
  }

  Task<bool> write(std::string text, Deadline deadline) {
    std::string_view left = text;
    while (!left.empty()) {
      const ssize_t sent = ::send(fd_, left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) {
        left.remove_prefix(static_cast<std::size_t>(sent));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) co_return false;
      const Wake wake = co_await ready_.wait(loop_, deadline);
      if (wake == Wake::kDeadline) co_return false;
    }
    co_return true;
  }

 private:
  EventLoop& loop_;
  int fd_;
  WaitQueue ready_;
  FdWatch watch_;
};

ControlServer::ControlServer(EventLoop& loop, Answer answer)
    : loop_(loop),
      answer_(std::move(answer)),
      watch_(loop, [this](std::uint32_t) { accept_all(); }),
      connections_(loop) {}

ControlServer::~ControlServer() {
  watch_.stop();
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
}

Result<void> ControlServer::listen(const std::string& path) {
  ASSIGN(const sockaddr_un address, address_of(path));
  // Whoever calls this holds the lock of the run directory, so a socket there belongs to nobody.
  ::unlink(path.c_str());
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  path_ = path;
  const mode_t before = ::umask(0177);
  const bool bound = fd_ >= 0 && ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(fd_, kMostConnections) == 0;
  const int number = errno;
  ::umask(before);
  if (!bound) {
    return Error{Errc::kFailedPrecondition, fmt::format("cannot listen on {}: {}", path, std::strerror(number))};
  }
  return watch_.start(fd_, EPOLLIN);
}

void ControlServer::accept_all() {
  while (true) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    if (!peer_is_allowed(fd) || connections_.size() >= kMostConnections) {
      ::close(fd);
      continue;
    }
    connections_.spawn(serve(fd));
  }
}

Task<void> ControlServer::serve(int fd) {
  constexpr Nanos kPatience = std::chrono::seconds(5);
  Socket socket(loop_, fd);
  if (!socket.start()) co_return;
  auto line = co_await socket.read_line(loop_.deadline_in(kPatience));
  auto request = line ? parse_control_request(*line) : Result<ControlRequest>(line.error());
  if (!request) {
    std::string refusal = error_json(request.error());
    co_await socket.write(std::move(refusal), loop_.deadline_in(kPatience));
    co_return;
  }
  const bool stays = request->verb == Verb::kStop;
  std::string document = co_await answer_(*std::move(request));
  const bool written = co_await socket.write(std::move(document), loop_.deadline_in(kPatience));
  if (stays && written) co_await loop_.sleep_until(Deadline::never());
}

Result<ControlClient> ControlClient::connect(const std::string& path, Nanos patience) {
  ASSIGN(const sockaddr_un address, address_of(path));
  ControlClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval limit{};
  limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  ::setsockopt(client.fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(client.fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error{Errc::kUnavailable, fmt::format("no caisson serves {}: {}", path, std::strerror(errno))};
  }
  return client;
}

ControlClient::ControlClient(ControlClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
ControlClient::~ControlClient() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::string> ControlClient::ask(std::string_view line) {
  const std::string bytes = std::string(line) + "\n";
  if (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return Error{Errc::kUnavailable, std::strerror(errno)};
  }
  std::string answer;
  char piece[16 * 1024];
  while (true) {
    const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
    if (got == 0) break;
    if (got < 0) return Error{Errc::kDeadlineExceeded, "caisson up does not answer"};
    answer.append(piece, static_cast<std::size_t>(got));
    if (answer.size() > kControlAnswerLimit) return Error{Errc::kOutOfRange, "the answer is too long"};
  }
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string_view error;
  if (parser.parse(simdjson::padded_string(answer)).get(document) != simdjson::SUCCESS) {
    return Error{Errc::kUnavailable, "caisson up ended without an answer"};
  }
  if (document["error"].get(error) == simdjson::SUCCESS) {
    return Error{Errc::kFailedPrecondition, std::string(error)};
  }
  return answer;
}

}  // namespace caisson::cli
