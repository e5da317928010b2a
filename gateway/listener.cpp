#include "gateway/listener.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::gateway {

namespace {

constexpr int kBacklog = 4096;
/// Connections taken before the loop gets its turn again.
constexpr int kAcceptAtOnce = 128;
constexpr Nanos kRetry = std::chrono::milliseconds(100);

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

Error system_error(std::string_view what) {
  const Errc code = errno == EADDRINUSE                  ? Errc::kAlreadyExists
                    : errno == EACCES                    ? Errc::kPermissionDenied
                    : errno == EMFILE || errno == ENFILE ? Errc::kResourceExhausted
                                                         : Errc::kInternal;
  return {code, fmt::format("{}: {}", what, std::strerror(errno))};
}

Result<socklen_t> parse_address(const std::string& text, std::uint16_t port, Address& address) {
  std::memset(&address, 0, sizeof address);
  if (::inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return static_cast<socklen_t>(sizeof address.v4);
  }
  std::string inner = text;
  if (inner.starts_with('[') && inner.ends_with(']')) inner = inner.substr(1, inner.size() - 2);
  if (::inet_pton(AF_INET6, inner.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return static_cast<socklen_t>(sizeof address.v6);
  }
  return Error{Errc::kInvalidArgument, fmt::format("'{}' is no IP address to listen on", text)};
}

Result<std::uint16_t> port_of(int fd) {
  Address address;
  socklen_t size = sizeof address;
  if (::getsockname(fd, &address.any, &size) != 0) return system_error("cannot read the chosen port");
  return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/// Nobody answers at a socket file that a killed process left.
bool is_abandoned(const Address& address, socklen_t size) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool refused = ::connect(fd, &address.any, size) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return refused;
}

}  // namespace

Listener::Door::Door(EventLoop& loop, Listener& owner, int socket)
    : fd(socket), watch(loop, [&owner, socket](std::uint32_t) { owner.accept_some(socket); }) {}

Listener::Door::~Door() {
  watch.stop();
  ::close(fd);
  if (!path.empty()) ::unlink(path.c_str());
}

Listener::Listener(EventLoop& loop, Services services, HttpOptions options, GatewayCounters& counters,
                   std::size_t max_connections)
    : loop_(loop),
      services_(services),
      options_(options),
      counters_(counters),
      max_connections_(max_connections),
      retry_(loop, [this] { accept_all(); }),
      scope_(loop) {}

Listener::~Listener() { *alive_ = false; }

Result<std::uint16_t> Listener::listen_tcp(const std::vector<std::string>& addresses, std::uint16_t port,
                                           Sharing sharing) {
  // All interfaces: both families through one socket where the system has IPv6.
  std::vector<std::string> all = addresses;
  if (all.empty()) all.push_back(::access("/proc/net/if_inet6", F_OK) == 0 ? "::" : "0.0.0.0");
  for (const std::string& text : all) {
    Address address;
    ASSIGN(const socklen_t size, parse_address(text, port, address));
    const int fd = ::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return system_error("cannot make a socket");
    const int on = 1;
    const int off = 0;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6) {
      ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, addresses.empty() ? &off : &on, sizeof on);
    }
    if (sharing == Sharing::kJoin) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (::bind(fd, &address.any, size) != 0) {
      const Error error = system_error(fmt::format("cannot listen on {} port {}", text, port));
      ::close(fd);
      return error;
    }
    TRY(open(fd));
    // Only now that it listens alone is it opened to others: two runtimes cannot both take a port for theirs,
    // not even at the same moment, and the system chooses none that another one shares.
    if (sharing == Sharing::kFirst) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (port == 0) {
      ASSIGN(port, port_of(fd));
    }
  }
  return port;
}

Result<void> Listener::listen_unix(const std::string& path) {
  Address address;
  std::memset(&address, 0, sizeof address);
  if (path.size() >= sizeof address.local.sun_path) {
    return Error{Errc::kInvalidArgument, fmt::format("'{}' is too long for a socket", path)};
  }
  address.local.sun_family = AF_UNIX;
  std::memcpy(address.local.sun_path, path.data(), path.size());
  const socklen_t size = sizeof address.local;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return system_error("cannot make a socket");
  int bound = ::bind(fd, &address.any, size);
  if (bound != 0 && errno == EADDRINUSE && is_abandoned(address, size)) {
    ::unlink(path.c_str());
    bound = ::bind(fd, &address.any, size);
  }
  if (bound != 0) {
    const Error error = system_error(fmt::format("cannot listen on '{}'", path));
    ::close(fd);
    return error;
  }
  ::chmod(path.c_str(), 0660);
  TRY(open(fd));
  doors_.back()->path = path;
  return ok();
}

/// Takes a bound socket over.
Result<void> Listener::open(int fd) {
  auto door = std::make_unique<Door>(loop_, *this, fd);
  if (::listen(fd, kBacklog) != 0) return system_error("cannot listen");
  TRY(door->watch.start(fd, EPOLLIN));
  doors_.push_back(std::move(door));
  return ok();
}

void Listener::accept_all() {
  for (std::size_t i = 0; i < doors_.size(); ++i) accept_some(doors_[i]->fd);
}

void Listener::go_on_soon() {
  loop_.post([this, alive = alive_] {
    if (*alive) accept_all();
  });
}

void Listener::retry_later() {
  if (!retry_.started()) retry_.start_after(kRetry);
}

void Listener::accept_some(int fd) {
  for (int taken = 0; taken < kAcceptAtOnce; ++taken) {
    if (clients_.size() >= max_connections_) {
      full_ = true;  // the next one to leave opens the door; until then they wait in the backlog
      log_.log(LogLevel::kWarning, fmt::format("{} connections are open: others wait", max_connections_));
      return;
    }
    const int client = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      log_.log(LogLevel::kWarning, fmt::format("cannot accept a connection: {}", std::strerror(errno)));
      return retry_later();
    }
    const int on = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a Unix socket refuses, rightly
    ++counters_.connections_accepted;
    ++counters_.connections_open;
    const std::uint64_t key = next_key_++;
    clients_[key];
    const TaskScope::Id task = scope_.spawn(serve(client, key));
    if (const auto found = clients_.find(key); found != clients_.end()) found->second.task = task;
  }
  // The edge has been seen: what is left must be fetched without another one.
  go_on_soon();
}

Task<void> Listener::serve(int fd, std::uint64_t key) {
  struct Leave {
    Listener& listener;
    std::uint64_t key;
    Leave(Listener& owner, std::uint64_t number) : listener(owner), key(number) {}
    Leave(const Leave&) = delete;
    ~Leave() {
      listener.clients_.erase(key);
      --listener.counters_.connections_open;
      if (std::exchange(listener.full_, false)) listener.go_on_soon();
    }
  };
  const Leave leave(*this, key);
  Connection connection(loop_, fd, services_, options_, counters_, [this, key] {
    if (const auto found = clients_.find(key); found != clients_.end()) scope_.cancel(found->second.task);
  });
  clients_[key].connection = &connection;
  co_await connection.run();
}

void Listener::finish() {
  doors_.clear();
  retry_.cancel();
  full_ = false;
  for (auto& [key, client] : clients_) {
    if (client.connection != nullptr) client.connection->finish();
  }
}

}  // namespace caisson::gateway
