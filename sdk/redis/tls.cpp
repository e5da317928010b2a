#include "sdk/redis/tls.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>

namespace caisson::redis {

namespace {

/// The reason OpenSSL gives, and its queue of errors emptied.
std::string openssl_reason() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  const char* const text = ERR_reason_error_string(first);
  return text == nullptr ? "unknown reason" : text;
}

Error bad(std::string_view key, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("metadata '{}' {}", key, what)};
}

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPointer = std::unique_ptr<BIO, FreeBio>;

/// PEM text itself, or a file with it.
BioPointer open_pem(const std::string& text_or_path) {
  const bool is_text = text_or_path.find("-----BEGIN") != std::string::npos;
  return BioPointer(is_text ? BIO_new_mem_buf(text_or_path.data(), static_cast<int>(text_or_path.size()))
                            : BIO_new_file(text_or_path.c_str(), "r"));
}

/// Without it OpenSSL asks for a passphrase at the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

bool is_ip_address(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

Result<void> use_certificate(SSL_CTX* context, const std::string& certificate) {
  const BioPointer bio = open_pem(certificate);
  if (bio == nullptr) return bad("clientCert", fmt::format("cannot be read: {}", openssl_reason()));
  bool first = true;
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    // The chain takes ownership, the leaf does not.
    const bool used = first ? SSL_CTX_use_certificate(context, one) == 1 : SSL_CTX_add0_chain_cert(context, one) == 1;
    if (first || !used) X509_free(one);
    if (!used) return bad("clientCert", fmt::format("cannot be used: {}", openssl_reason()));
    first = false;
  }
  ERR_clear_error();  // "no start line" is how a PEM file ends
  if (first) return bad("clientCert", "holds no certificate in PEM form");
  return ok();
}

Result<void> use_key(SSL_CTX* context, const std::string& key) {
  const BioPointer bio = open_pem(key);
  if (bio == nullptr) return bad("clientKey", fmt::format("cannot be read: {}", openssl_reason()));
  EVP_PKEY* const parsed = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr);
  if (parsed == nullptr) {
    ERR_clear_error();
    return bad("clientKey", "holds no private key in PEM form without a passphrase");
  }
  const bool used = SSL_CTX_use_PrivateKey(context, parsed) == 1 && SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(parsed);
  if (!used) return bad("clientKey", fmt::format("does not fit clientCert: {}", openssl_reason()));
  return ok();
}

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

Result<TlsContext::Pointer> TlsContext::with_certificate(const Settings& settings) {
  Pointer context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error{Errc::kResourceExhausted, "no TLS context: " + openssl_reason()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  if (settings.client_certificate.empty() != settings.client_key.empty()) {
    return bad(settings.client_key.empty() ? "clientCert" : "clientKey", "needs clientCert and clientKey together");
  }
  if (!settings.client_certificate.empty()) {
    TRY(use_certificate(context.get(), settings.client_certificate));
    TRY(use_key(context.get(), settings.client_key));
  }
  return context;
}

Result<void> TlsContext::check(const Settings& settings) {
  TRY(with_certificate(settings));
  return ok();
}

Result<TlsContext> TlsContext::make(const Settings& settings) {
  ASSIGN(Pointer context, with_certificate(settings));
  if (settings.tls_verify) {
    SSL_CTX_set_default_verify_paths(context.get());
    ERR_clear_error();  // a missing bundle shows as an unknown authority
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return TlsContext(std::move(context), settings.tls_verify);
}

Result<std::unique_ptr<TlsSession>> TlsSession::make(const TlsContext& context, const std::string& host) {
  SSL* const ssl = SSL_new(context.context_.get());
  if (ssl == nullptr) return Error{Errc::kResourceExhausted, "no TLS session: " + openssl_reason()};
  std::unique_ptr<TlsSession> session(new TlsSession(ssl));
  BIO* const from_wire = BIO_new(BIO_s_mem());
  BIO* const to_wire = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, from_wire, to_wire);  // owns both
  if (from_wire == nullptr || to_wire == nullptr) return Error{Errc::kResourceExhausted, "no memory for TLS"};
  SSL_set_connect_state(ssl);
  const bool is_ip = is_ip_address(host);
  if (!is_ip) SSL_set_tlsext_host_name(ssl, host.c_str());
  if (context.verify_) {
    const int set =
        is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) : SSL_set1_host(ssl, host.c_str());
    if (set != 1) return Error{Errc::kInvalidArgument, fmt::format("'{}' cannot be a host name", host)};
  }
  return session;
}

TlsSession::~TlsSession() { SSL_free(session_); }

Error TlsSession::failure(std::string_view what) const {
  const long verified = SSL_get_verify_result(session_);
  std::string reason = openssl_reason();
  if (verified != X509_V_OK) reason = X509_verify_cert_error_string(verified);
  return {Errc::kUnavailable, fmt::format("{}: {}", what, reason)};
}

Result<bool> TlsSession::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(session_);
  if (done == 1) return true;
  if (SSL_get_error(session_, done) == SSL_ERROR_WANT_READ) return false;
  return failure("TLS handshake failed");
}

void TlsSession::feed(std::string_view wire) {
  BIO_write(SSL_get_rbio(session_), wire.data(), static_cast<int>(wire.size()));
}

Result<std::optional<std::size_t>> TlsSession::read(std::span<char> to) {
  ERR_clear_error();
  const int got = SSL_read(session_, to.data(), static_cast<int>(std::min<std::size_t>(to.size(), INT_MAX)));
  if (got > 0) return std::optional<std::size_t>(static_cast<std::size_t>(got));
  switch (SSL_get_error(session_, got)) {
    case SSL_ERROR_WANT_READ:
      return std::optional<std::size_t>();
    case SSL_ERROR_ZERO_RETURN:
      return std::optional<std::size_t>(0);
    default:
      return failure("TLS failed");
  }
}

Result<void> TlsSession::write(std::string_view text) {
  while (!text.empty()) {
    ERR_clear_error();
    const int taken = SSL_write(session_, text.data(), static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX)));
    if (taken <= 0) return failure("TLS failed");  // a memory BIO always has room
    text.remove_prefix(static_cast<std::size_t>(taken));
  }
  return ok();
}

void TlsSession::take_output(std::string& to) {
  char* data = nullptr;
  BIO* const wire = SSL_get_wbio(session_);
  const long size = BIO_get_mem_data(wire, &data);
  if (size > 0) to.append(data, static_cast<std::size_t>(size));
  (void)BIO_reset(wire);
}

}  // namespace caisson::redis
