#include "net/testing/tls_front.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace caisson::net::testing {

namespace {

void need(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "TlsFront: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  std::abort();
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool is_number(const std::string& host) {
  in_addr bytes{};
  return ::inet_pton(AF_INET, host.c_str(), &bytes) == 1;
}

X509* self_signed(EVP_PKEY* key, const std::string& name) {
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24L * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const subject = X509_get_subject_name(certificate);
  const auto* const text = reinterpret_cast<const unsigned char*>("test");
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  const std::string names = (is_number(name) ? "IP:" : "DNS:") + name;
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  need(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "the certificate's name");
  X509_EXTENSION_free(extension);
  need(X509_sign(certificate, key, EVP_sha256()) > 0, "signing");
  return certificate;
}

std::string pem_of(X509* certificate) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

int take_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                  unsigned offered_size, void* wanted) {
  const auto& protocol = *static_cast<const std::string*>(wanted);
  for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
    const std::string_view one(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (one != protocol) continue;
    *chosen = offered + at + 1;
    *size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

bool write_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (written <= 0) return false;
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

struct TlsFront::Tls {
  SSL_CTX* context = nullptr;
  std::string protocol;
  ~Tls() { SSL_CTX_free(context); }
};

TlsFront::TlsFront(std::uint16_t behind, Options options)
    : tls_(std::make_unique<Tls>()),
      behind_(behind),
      listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  need(key != nullptr, "making a key");
  X509* const certificate = self_signed(key, options.name);
  certificate_ = pem_of(certificate);
  tls_->context = SSL_CTX_new(TLS_server_method());
  need(SSL_CTX_use_certificate(tls_->context, certificate) == 1, "using the certificate");
  need(SSL_CTX_use_PrivateKey(tls_->context, key) == 1, "using the key");
  X509_free(certificate);
  EVP_PKEY_free(key);
  tls_->protocol = std::move(options.protocol);
  if (!tls_->protocol.empty()) SSL_CTX_set_alpn_select_cb(tls_->context, take_protocol, &tls_->protocol);

  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  need(::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listening_, 64) == 0, "listen");
  ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { accept_all(); });
}

TlsFront::~TlsFront() {
  const std::uint64_t one = 1;
  need(::write(stop_, &one, sizeof one) == sizeof one, "write");
  accepting_.join();
  for (std::thread& connection : connections_) connection.join();
  ::close(listening_);
  ::close(stop_);
}

void TlsFront::accept_all() {
  sigset_t broken_pipe;  // OpenSSL writes without MSG_NOSIGNAL; the other threads inherit this
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  while (true) {
    pollfd watched[] = {{listening_, POLLIN, 0}, {stop_, POLLIN, 0}};
    ::poll(watched, 2, -1);
    if (watched[1].revents != 0) return;
    const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) connections_.emplace_back([this, client] { serve(client); });
  }
}

void TlsFront::serve(int client) {
  const sockaddr_in address = loopback(behind_);
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SSL* const ssl = SSL_new(tls_->context);
  SSL_set_fd(ssl, client);
  bool open = ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  // A client that connects and says nothing must not keep this thread.
  pollfd first[] = {{client, POLLIN, 0}, {stop_, POLLIN, 0}};
  ::poll(first, 2, -1);
  open = open && first[1].revents == 0 && SSL_accept(ssl) == 1;
  char bytes[16384];
  while (open) {
    pollfd watched[] = {{client, POLLIN, 0}, {server, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (SSL_pending(ssl) == 0) ::poll(watched, 3, -1);
    if (watched[2].revents != 0) break;
    if (watched[1].revents != 0) {
      const ssize_t got = ::recv(server, bytes, sizeof bytes, 0);
      if (got <= 0) {
        SSL_shutdown(ssl);
        break;
      }
      open = SSL_write(ssl, bytes, static_cast<int>(got)) > 0;
    }
    if (open && (watched[0].revents != 0 || SSL_pending(ssl) > 0)) {
      const int got = SSL_read(ssl, bytes, sizeof bytes);
      open = got > 0 && write_all(server, bytes, static_cast<std::size_t>(got));
    }
  }
  SSL_free(ssl);
  ::close(client);
  ::close(server);
}

}  // namespace caisson::net::testing
