#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus/result.hpp"
#include "net/tls_session.hpp"

struct ssl_ctx_st;

namespace caisson::net {

/// How a client's TLS connections are made. Certificates and keys: PEM text itself, or a file's path.
struct TlsOptions {
  /// A value and what it is called where the user wrote it, for errors.
  struct Pem {
    std::string value;  // empty: none
    std::string name;
  };
  Pem certificate{{}, "certificate"};  // ours, with its chain
  Pem key{{}, "key"};
  /// Whom we trust; empty: the system's (SSL_CERT_FILE and SSL_CERT_DIR replace them).
  Pem authorities{{}, "authorities"};
  bool verify = true;
  /// ALPN, the preferred first; empty: none is offered.
  std::vector<std::string> protocols;
};

/// What all TLS connections to one server share. On OpenSSL; TLS 1.2 and later.
class TlsContext {
 public:
  /// Reads files. kInvalidArgument names the option that cannot be used.
  static Result<TlsContext> make(const TlsOptions& options);
  /// `host` is the name, or IP address, that the server's certificate must be for.
  [[nodiscard]] Result<std::unique_ptr<TlsSession>> session(const std::string& host) const;

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  using Pointer = std::unique_ptr<ssl_ctx_st, Free>;
  TlsContext(Pointer context, bool verify) : context_(std::move(context)), verify_(verify) {}

  Pointer context_;
  bool verify_;
};

}  // namespace caisson::net
