#include "sdk/redis/testing/proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace caisson::redis::testing {

namespace {

/// How soon a change of mode is seen without traffic.
constexpr int kPollMs = 2;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::send(fd, data, size, MSG_NOSIGNAL);
    if (written <= 0) return false;
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

Proxy::Proxy(std::uint16_t server_port) : server_port_(server_port) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listening_ < 0 || ::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listening_, 64) != 0 || ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("proxy");
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { work(); });
}

Proxy::~Proxy() {
  stop_ = true;
  thread_.join();
  for (const Pair& pair : pairs_) reset(pair);
  ::close(listening_);
}

void Proxy::work() {
  while (!stop_) {
    std::vector<pollfd> polled{{listening_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      polled.push_back({pair.client, POLLIN, 0});
      polled.push_back({pair.server, POLLIN, 0});
    }
    ::poll(polled.data(), polled.size(), kPollMs);
    if (const int wanted = cuts_wanted_; wanted != cuts_done_) {
      cuts_done_ = wanted;
      for (const Pair& pair : pairs_) reset(pair);
      pairs_.clear();
      continue;
    }
    std::size_t i = 1;
    for (auto pair = pairs_.begin(); pair != pairs_.end(); i += 2) {
      const bool alive =
          (polled[i].revents == 0 || pass_on(*pair, true)) && (polled[i + 1].revents == 0 || pass_on(*pair, false));
      if (alive) {
        ++pair;
      } else {
        reset(*pair);
        pair = pairs_.erase(pair);
      }
    }
    if (polled[0].revents != 0) accept_one();
  }
}

void Proxy::accept_one() {
  Pair pair{::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC), -1};
  if (pair.client < 0) return;
  ++accepted_;
  const sockaddr_in address = loopback(server_port_);
  if (mode_ != Mode::kRefuse) pair.server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (pair.server < 0 || ::connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return reset(pair);
  }
  pairs_.push_back(pair);
}

/// False when one side has ended.
bool Proxy::pass_on(const Pair& pair, bool from_client) {
  char buffer[65536];
  const ssize_t got = ::recv(from_client ? pair.client : pair.server, buffer, sizeof buffer, 0);
  if (got <= 0) return false;
  const Mode mode = mode_;
  if (mode == Mode::kSwallow || (mode == Mode::kSwallowReplies && !from_client)) return true;
  return write_all(from_client ? pair.server : pair.client, buffer, static_cast<std::size_t>(got));
}

void Proxy::reset(const Pair& pair) {
  const linger at_once{1, 0};
  for (const int fd : {pair.client, pair.server}) {
    if (fd < 0) continue;
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd);
  }
}

}  // namespace caisson::redis::testing
