#pragma once

#include <memory>
#include <optional>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "net/tls.hpp"
#include "sdk/redis/connection.hpp"
#include "sdk/redis/settings.hpp"

namespace caisson::redis {

/// Makes connections that are ready for commands: finds the server (through the sentinels, if the
/// settings name any), connects, says AUTH and SELECT, and looks whether it can serve.
class Handshake {
 public:
  Handshake(EventLoop& loop, const Settings& settings) : loop_(loop), settings_(settings) {}

  /// One attempt. Each server that is tried has the settings' dial timeout. The error says which server
  /// and why, and holds no password.
  Task<Result<std::unique_ptr<Connection>>> connect(Connection::Options options);

 private:
  struct Login {
    std::string username;
    std::string password;
    std::uint32_t database = 0;
  };

  Task<Result<Address>> find_master();
  Task<Result<Address>> ask_sentinel(Address sentinel);
  Task<Result<std::unique_ptr<Connection>>> open(Address address, Login login, Connection::Options options,
                                                 Deadline deadline);
  Task<Result<std::unique_ptr<net::TcpStream>>> open_stream(Address address, Deadline deadline);
  Task<Result<void>> log_in(Connection& connection, Login login, Deadline deadline);
  Task<Result<void>> look_whether_it_serves(Connection& connection, Deadline deadline);

  EventLoop& loop_;
  const Settings& settings_;
  std::optional<net::TlsContext> tls_;
};

}  // namespace caisson::redis
