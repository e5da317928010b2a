#include "bus/network_namespace.hpp"

#include <sys/socket.h>
#include <unistd.h>

namespace caisson {

namespace {

std::uint64_t ask_kernel() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return 0;
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) cookie = 0;
  ::close(socket);
  return cookie;
}

}  // namespace

std::uint64_t network_namespace() {
  static const std::uint64_t number = ask_kernel();
  return number;
}

}  // namespace caisson
