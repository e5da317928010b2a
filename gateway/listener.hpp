#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "gateway/connection.hpp"

namespace caisson::gateway {

/// Whether a port is for one process alone, or for several of this user's (SO_REUSEPORT: the system deals
/// the connections out among them).
enum class Sharing : std::uint8_t {
  kAlone,
  /// Takes a port that nobody has, in use by whomever else it is refused, and lets others join from then on.
  kFirst,
  /// Joins those who let others join; takes the port where nobody has it.
  kJoin,
};

/// A door: the addresses it listens on and the connections that came in through them. One thread;
/// what stands behind it outlives it.
class Listener {
 public:
  Listener(EventLoop& loop, Services services, HttpOptions options, GatewayCounters& counters,
           std::size_t max_connections = 16384);
  ~Listener();

  /// Opens `port` on every address ("127.0.0.1", "::1", …; none: all interfaces); port 0 is chosen
  /// by the system, once for all addresses. Returns the port. kAlreadyExists: it is in use.
  Result<std::uint16_t> listen_tcp(const std::vector<std::string>& addresses, std::uint16_t port,
                                   Sharing sharing = Sharing::kAlone);
  /// A Unix socket at `path`, mode 0660; replaces a socket file that nobody listens on.
  Result<void> listen_unix(const std::string& path);

  /// Accepts no more; connections without a request end, the others after theirs.
  void finish();
  Task<bool> join(Deadline deadline) { return scope_.join(deadline); }

  [[nodiscard]] std::size_t connections() const { return clients_.size(); }

 private:
  struct Door {
    Door(EventLoop& loop, Listener& owner, int socket);
    ~Door();
    int fd;
    std::string path;  // of a Unix socket, removed at the end
    FdWatch watch;
  };
  struct Client {
    Connection* connection = nullptr;
    TaskScope::Id task = 0;
  };

  Result<void> open(int fd);
  void accept_some(int fd);
  void accept_all();
  void go_on_soon();
  void retry_later();
  Task<void> serve(int fd, std::uint64_t key);

  EventLoop& loop_;
  Services services_;
  HttpOptions options_;
  GatewayCounters& counters_;
  std::size_t max_connections_;
  LogLimit log_;
  bool full_ = false;
  std::uint64_t next_key_ = 1;
  std::map<std::uint64_t, Client> clients_;
  std::vector<std::unique_ptr<Door>> doors_;
  Timer retry_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskScope scope_;
};

}  // namespace caisson::gateway
