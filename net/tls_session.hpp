#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::net {

/// One TLS connection without its socket: bytes from the wire are fed and read as plain text, plain
/// text is written and taken as bytes for the wire. An interface, so that who never encrypts does not
/// load a TLS library; net/tls.hpp has the implementation. One thread.
class TlsSession {
 public:
  TlsSession() = default;
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  virtual ~TlsSession() = default;

  /// True once it is complete; otherwise it needs bytes from the wire. kUnavailable: refused.
  virtual Result<bool> handshake() = 0;
  virtual void feed(std::string_view wire) = 0;
  /// The number of bytes; nothing when it needs more from the wire; zero at the end.
  virtual Result<std::optional<std::size_t>> read(std::span<char> to) = 0;
  virtual Result<void> write(std::string_view text) = 0;
  /// Appends what is to be sent.
  virtual void take_output(std::string& to) = 0;
  /// What ALPN agreed on; empty for nothing.
  [[nodiscard]] virtual std::string protocol() const = 0;
};

/// Makes the session of a new connection; null for connections in the clear.
using TlsFactory = std::function<Result<std::unique_ptr<TlsSession>>()>;

}  // namespace caisson::net
