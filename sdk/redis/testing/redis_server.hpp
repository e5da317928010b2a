#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bus/testing/temporary_directory.hpp"
#include "sdk/redis/reply.hpp"
#include "sdk/redis/settings.hpp"

namespace caisson::redis::testing {

/// A real redis-server of the test's own, on a free port of 127.0.0.1 and in a temporary directory. It
/// ends with the test's process. What cannot be done ends the test's process with a message.
class RedisServer {
 public:
  struct Options {
    /// Of the user `default`; empty: none.
    std::string password;
    /// ACL rules, e.g. "user app on >secret ~* +@all".
    std::vector<std::string> users;
    /// A port with TLS beside the plain one, with a certificate for localhost and 127.0.0.1 of an
    /// authority of the test's own.
    bool tls = false;
    /// Clients must have a certificate of that authority.
    bool tls_needs_client_certificate = false;
    /// Every acknowledged write survives kill(): appendonly yes, appendfsync always.
    bool append_only = false;
    /// Port of the master that this one copies.
    std::uint16_t replica_of = 0;
    /// Port of the master that this one, a sentinel, watches under the name `mymaster`.
    std::uint16_t sentinel_of = 0;
    /// More lines of redis.conf.
    std::vector<std::string> lines;
  };

  RedisServer() : RedisServer(Options()) {}
  explicit RedisServer(Options options);
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint16_t tls_port() const { return tls_port_; }
  /// Settings of a client without TLS, with the password.
  [[nodiscard]] Settings settings() const;
  /// Settings with TLS, and the PEM files: of the authority, of a client and its key.
  [[nodiscard]] Settings tls_settings() const;
  [[nodiscard]] std::string authority_file() const { return path_of("ca.crt"); }
  [[nodiscard]] std::string client_certificate_file() const { return path_of("client.crt"); }
  [[nodiscard]] std::string client_key_file() const { return path_of("client.key"); }

  /// One command over a connection of its own (blocking, with the password). An error reply is a reply.
  Reply command(std::vector<std::string> words, std::uint32_t database = 0);

  /// SIGKILL, and waits for the end.
  void kill();
  /// SIGSTOP and SIGCONT: alive, and silent.
  void pause();
  void resume();
  /// On the same port, with what it had stored; returns when it answers.
  void start();
  /// kill(), then start().
  void restart();
  [[nodiscard]] bool running() const { return pid_ > 0; }

 private:
  [[nodiscard]] std::string path_of(const std::string& name) const { return (directory_.path() / name).string(); }
  void write_configuration();
  void make_certificates();
  bool try_to_start();
  [[nodiscard]] bool answers() const;

  Options options_;
  caisson::testing::TemporaryDirectory directory_;
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace caisson::redis::testing
