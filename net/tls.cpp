#include "net/tls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "bus/host_lookup.hpp"
#include "net/openssl_library.hpp"

namespace caisson::net {

namespace {

/// The reason OpenSSL gives, and its queue of errors emptied.
std::string openssl_reason() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  const char* const text = ERR_reason_error_string(first);
  return text == nullptr ? "unknown reason" : text;
}

Error bad(const TlsOptions::Pem& pem, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("'{}' {}", pem.name, what)};
}

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPointer = std::unique_ptr<BIO, FreeBio>;

Result<BioPointer> open_pem(const TlsOptions::Pem& pem) {
  const bool is_text = pem.value.find("-----BEGIN") != std::string::npos;
  BioPointer bio(is_text ? BIO_new_mem_buf(pem.value.data(), static_cast<int>(pem.value.size()))
                         : BIO_new_file(pem.value.c_str(), "r"));
  if (bio == nullptr) return bad(pem, fmt::format("cannot be read: {}", openssl_reason()));
  return bio;
}

/// Without it OpenSSL asks for a passphrase at the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

/// Hands every certificate of a PEM to `use`, which takes ownership and says whether it could.
Result<void> for_each_certificate(const TlsOptions::Pem& pem, const std::function<bool(X509*)>& use) {
  ASSIGN(const BioPointer bio, open_pem(pem));
  bool none = true;
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    none = false;
    if (!use(one)) return bad(pem, fmt::format("cannot be used: {}", openssl_reason()));
  }
  ERR_clear_error();  // "no start line" is how a PEM file ends
  if (none) return bad(pem, "holds no certificate in PEM form");
  return ok();
}

Result<void> use_certificate(SSL_CTX* context, const TlsOptions::Pem& certificate) {
  bool leaf = true;
  return for_each_certificate(certificate, [&](X509* one) {
    // The chain takes ownership, the leaf does not.
    const bool used = leaf ? SSL_CTX_use_certificate(context, one) == 1 : SSL_CTX_add0_chain_cert(context, one) == 1;
    if (leaf || !used) X509_free(one);
    leaf = false;
    return used;
  });
}

Result<void> use_key(SSL_CTX* context, const TlsOptions::Pem& key, const TlsOptions::Pem& certificate) {
  ASSIGN(const BioPointer bio, open_pem(key));
  EVP_PKEY* const parsed = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr);
  if (parsed == nullptr) {
    ERR_clear_error();
    return bad(key, "holds no private key in PEM form without a passphrase");
  }
  const bool used = SSL_CTX_use_PrivateKey(context, parsed) == 1 && SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(parsed);
  if (!used) return bad(key, fmt::format("does not fit {}: {}", certificate.name, openssl_reason()));
  return ok();
}

Result<void> trust(SSL_CTX* context, const TlsOptions::Pem& authorities) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (authorities.value.empty()) {
    SSL_CTX_set_default_verify_paths(context);
    ERR_clear_error();  // a missing bundle shows as an unknown authority
    return ok();
  }
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  return for_each_certificate(authorities, [&](X509* one) {
    const bool added = X509_STORE_add_cert(store, one) == 1;
    X509_free(one);
    return added;
  });
}

Result<void> offer(SSL_CTX* context, const std::vector<std::string>& protocols) {
  std::string list;  // each with its length in front (RFC 7301)
  for (const std::string& protocol : protocols) {
    list += static_cast<char>(protocol.size());
    list += protocol;
  }
  const auto* const bytes = reinterpret_cast<const unsigned char*>(list.data());
  if (!list.empty() && SSL_CTX_set_alpn_protos(context, bytes, static_cast<unsigned>(list.size())) != 0) {
    return Error{Errc::kInvalidArgument, "the protocols to offer are no list for ALPN"};
  }
  return ok();
}

class OpensslSession final : public TlsSession {
 public:
  explicit OpensslSession(ssl_st* session) : session_(session) {}
  ~OpensslSession() override { SSL_free(session_); }

  Result<bool> handshake() override {
    ERR_clear_error();
    const int done = SSL_do_handshake(session_);
    if (done == 1) return true;
    if (SSL_get_error(session_, done) == SSL_ERROR_WANT_READ) return false;
    return failure("TLS handshake failed");
  }

  void feed(std::string_view wire) override {
    BIO_write(SSL_get_rbio(session_), wire.data(), static_cast<int>(wire.size()));
  }

  Result<std::optional<std::size_t>> read(std::span<char> to) override {
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

  Result<void> write(std::string_view text) override {
    while (!text.empty()) {
      ERR_clear_error();
      const int taken = SSL_write(session_, text.data(), static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX)));
      if (taken <= 0) return failure("TLS failed");  // a memory BIO always has room
      text.remove_prefix(static_cast<std::size_t>(taken));
    }
    return ok();
  }

  void take_output(std::string& to) override {
    char* data = nullptr;
    BIO* const wire = SSL_get_wbio(session_);
    const long size = BIO_get_mem_data(wire, &data);
    if (size > 0) to.append(data, static_cast<std::size_t>(size));
    (void)BIO_reset(wire);
  }

  [[nodiscard]] std::string protocol() const override {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(session_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }

 private:
  [[nodiscard]] Error failure(std::string_view what) const {
    std::string reason = openssl_reason();
    const long verified = SSL_get_verify_result(session_);
    if (verified != X509_V_OK && SSL_get_verify_mode(session_) != SSL_VERIFY_NONE)
      reason = X509_verify_cert_error_string(verified);
    return {Errc::kUnavailable, fmt::format("{}: {}", what, reason)};
  }

  ssl_st* session_;
};

}  // namespace

void TlsContext::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

Result<TlsContext> TlsContext::make(const TlsOptions& options) {
  TRY(load_openssl());
  Pointer context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error{Errc::kResourceExhausted, "no TLS context: " + openssl_reason()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const bool has_certificate = !options.certificate.value.empty();
  const bool has_key = !options.key.value.empty();
  if (has_certificate != has_key) {
    return bad(has_key ? options.key : options.certificate,
               fmt::format("needs {} and {} together", options.certificate.name, options.key.name));
  }
  if (has_certificate) {
    TRY(use_certificate(context.get(), options.certificate));
    TRY(use_key(context.get(), options.key, options.certificate));
  }
  if (options.verify) TRY(trust(context.get(), options.authorities));
  TRY(offer(context.get(), options.protocols));
  return TlsContext(std::move(context), options.verify);
}

Result<std::unique_ptr<TlsSession>> TlsContext::session(const std::string& host) const {
  SSL* const ssl = SSL_new(context_.get());
  if (ssl == nullptr) return Error{Errc::kResourceExhausted, "no TLS session: " + openssl_reason()};
  auto session = std::make_unique<OpensslSession>(ssl);
  BIO* const from_wire = BIO_new(BIO_s_mem());
  BIO* const to_wire = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, from_wire, to_wire);  // owns both
  if (from_wire == nullptr || to_wire == nullptr) return Error{Errc::kResourceExhausted, "no memory for TLS"};
  SSL_set_connect_state(ssl);
  const bool is_name = is_host_name(host);
  if (is_name) SSL_set_tlsext_host_name(ssl, host.c_str());
  if (verify_) {
    const int set =
        is_name ? SSL_set1_host(ssl, host.c_str()) : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
    if (set != 1) return Error{Errc::kInvalidArgument, fmt::format("'{}' cannot be a host name", host)};
  }
  return std::unique_ptr<TlsSession>(std::move(session));
}

}  // namespace caisson::net
