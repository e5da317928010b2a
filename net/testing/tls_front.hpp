#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace caisson::net::testing {

/// A port of 127.0.0.1 that speaks TLS and passes everything on to another port in the clear: makes an
/// https server of any server. Its certificate, made anew, is for `name` and signed by itself.
/// Connections are served on threads of their own until this is destroyed.
class TlsFront {
 public:
  struct Options {
    std::string name = "localhost";
    /// Which ALPN protocol it takes, if the client offers it; empty: it knows nothing of ALPN.
    std::string protocol;
  };

  /// Aborts when OpenSSL or the kernel refuses: there is no test without it.
  TlsFront(std::uint16_t behind, Options options);
  TlsFront(const TlsFront&) = delete;
  TlsFront& operator=(const TlsFront&) = delete;
  ~TlsFront();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// PEM: what a client has to trust.
  [[nodiscard]] const std::string& certificate() const { return certificate_; }

 private:
  struct Tls;
  void accept_all();
  void serve(int client);

  std::unique_ptr<Tls> tls_;
  std::uint16_t behind_;
  std::uint16_t port_ = 0;
  int listening_;
  int stop_;  // an eventfd that every thread watches
  std::string certificate_;
  std::vector<std::thread> connections_;  // the accepting thread
  std::thread accepting_;
};

}  // namespace caisson::net::testing
