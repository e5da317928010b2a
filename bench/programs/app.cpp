// The app of the benchmarks: takes HTTP/1.1 requests on 127.0.0.1 and says 200 with a small body, so that it is never
// what limits.
//   caisson_bench_app PORT      (0: a free one, which it prints)
// GET /dapr/subscribe subscribes to topic `taken` of pubsub component `pubsub`, GET /dapr/config is not found,
// GET /count says how many POSTs to /taken there were.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>

namespace caisson::bench {
namespace {

constexpr std::string_view kSubscriptions = R"([{"pubsubname":"pubsub","topic":"taken","route":"/taken"}])";

void must(bool held, const char* what) {
  if (held) return;
  std::perror(what);
  std::exit(1);
}

std::size_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\ncontent-length:";
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at);
    if (line.size() > kName.size() && ::strncasecmp(line.data(), kName.data(), kName.size()) == 0)
      return std::strtoull(line.data() + kName.size(), nullptr, 10);
  }
  return 0;
}

class App {
 public:
  explicit App(std::uint16_t port) : epoll_(::epoll_create1(0)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int one = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    must(::bind(listener_, generic, sizeof address) == 0 && ::listen(listener_, 1024) == 0, "listen");
    socklen_t length = sizeof address;
    must(::getsockname(listener_, generic, &length) == 0, "getsockname");
    watch(listener_);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
  }

  [[noreturn]] void run() {
    epoll_event events[64];
    for (;;) {
      const int count = ::epoll_wait(epoll_, events, 64, -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == listener_)
          accept();
        else
          read(events[i].data.fd);
      }
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    must(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }

  void accept() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd);
  }

  void read(int fd) {
    char bytes[65536];
    const ssize_t got = ::read(fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return close(fd);
    std::string& unread = unread_[fd];
    unread.append(bytes, static_cast<std::size_t>(got));
    std::string answers;
    std::size_t done = 0;
    for (;;) {
      const std::string_view rest = std::string_view(unread).substr(done);
      const std::size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) break;
      const std::size_t size = end + 4 + content_length(rest.substr(0, end));
      if (rest.size() < size) break;
      answer(rest, answers);
      done += size;
    }
    unread.erase(0, done);
    // Clients wait for their answers before they send more, so these few bytes always fit.
    if (!answers.empty() && ::write(fd, answers.data(), answers.size()) != static_cast<ssize_t>(answers.size()))
      close(fd);
  }

  void answer(std::string_view request, std::string& answers) {
    std::string body = "{}";
    const char* status = "200 OK";
    if (request.starts_with("POST /taken")) ++taken_;
    if (request.starts_with("GET /count")) body = std::to_string(taken_);
    if (request.starts_with("GET /dapr/subscribe")) body = kSubscriptions;
    if (request.starts_with("GET /dapr/config")) status = "404 Not Found";
    answers += "HTTP/1.1 " + std::string(status) +
               "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
               body;
  }

  void close(int fd) {
    unread_.erase(fd);
    ::close(fd);
  }

  int epoll_;
  int listener_;
  std::uint64_t taken_ = 0;
  std::unordered_map<int, std::string> unread_;
};

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  const long port = count == 2 ? std::atol(arguments[1]) : -1;
  if (port < 0 || port > 65535) {
    std::fputs("usage: caisson_bench_app PORT\n", stderr);
    return 2;
  }
  caisson::bench::App(static_cast<std::uint16_t>(port)).run();
}
