#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "sdk/redis/settings.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace caisson::redis {

/// What all TLS connections of one component share: our certificate and the authorities we trust
/// (the system's; SSL_CERT_FILE and SSL_CERT_DIR replace them).
class TlsContext {
 public:
  /// Reads files. kInvalidArgument names the metadata key that cannot be used.
  static Result<TlsContext> make(const Settings& settings);
  /// Only whether clientCert and clientKey can be used.
  static Result<void> check(const Settings& settings);

 private:
  friend class TlsSession;
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  using Pointer = std::unique_ptr<ssl_ctx_st, Free>;
  TlsContext(Pointer context, bool verify) : context_(std::move(context)), verify_(verify) {}
  static Result<Pointer> with_certificate(const Settings& settings);

  Pointer context_;
  bool verify_;
};

/// One TLS connection without its socket: bytes from the wire are fed and read as plain text, plain
/// text is written and taken as bytes for the wire.
class TlsSession {
 public:
  /// `host` is the name, or IP address, that the server's certificate must be for.
  static Result<std::unique_ptr<TlsSession>> make(const TlsContext& context, const std::string& host);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession();

  /// True once it is complete; otherwise it needs bytes from the wire. kUnavailable: refused.
  Result<bool> handshake();
  void feed(std::string_view wire);
  /// The number of bytes; nothing when it needs more from the wire; zero at the end.
  Result<std::optional<std::size_t>> read(std::span<char> to);
  Result<void> write(std::string_view text);
  /// Appends what is to be sent.
  void take_output(std::string& to);

 private:
  explicit TlsSession(ssl_st* session) : session_(session) {}
  [[nodiscard]] Error failure(std::string_view what) const;

  ssl_st* session_;
};

}  // namespace caisson::redis
