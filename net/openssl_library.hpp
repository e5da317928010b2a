#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "bus/result.hpp"

/// OpenSSL is loaded with the first TLS context: it costs a process that encrypts nothing 560 KiB, most
/// of them relocations. Included by tls.cpp only.
#define CAISSON_OPENSSL_FUNCTIONS(X)  \
  X(BIO_ctrl)                         \
  X(BIO_free)                         \
  X(BIO_new)                          \
  X(BIO_new_file)                     \
  X(BIO_new_mem_buf)                  \
  X(BIO_s_mem)                        \
  X(BIO_write)                        \
  X(ERR_clear_error)                  \
  X(ERR_get_error)                    \
  X(ERR_reason_error_string)          \
  X(EVP_PKEY_free)                    \
  X(PEM_read_bio_PrivateKey)          \
  X(PEM_read_bio_X509)                \
  X(SSL_CTX_check_private_key)        \
  X(SSL_CTX_ctrl)                     \
  X(SSL_CTX_free)                     \
  X(SSL_CTX_get_cert_store)           \
  X(SSL_CTX_new)                      \
  X(SSL_CTX_set_alpn_protos)          \
  X(SSL_CTX_set_default_verify_paths) \
  X(SSL_CTX_set_verify)               \
  X(SSL_CTX_use_PrivateKey)           \
  X(SSL_CTX_use_certificate)          \
  X(SSL_ctrl)                         \
  X(SSL_do_handshake)                 \
  X(SSL_free)                         \
  X(SSL_get0_alpn_selected)           \
  X(SSL_get0_param)                   \
  X(SSL_get_error)                    \
  X(SSL_get_rbio)                     \
  X(SSL_get_verify_mode)              \
  X(SSL_get_verify_result)            \
  X(SSL_get_wbio)                     \
  X(SSL_new)                          \
  X(SSL_read)                         \
  X(SSL_set1_host)                    \
  X(SSL_set_bio)                      \
  X(SSL_set_connect_state)            \
  X(SSL_write)                        \
  X(TLS_client_method)                \
  X(X509_STORE_add_cert)              \
  X(X509_VERIFY_PARAM_set1_ip_asc)    \
  X(X509_free)                        \
  X(X509_verify_cert_error_string)

namespace caisson::net {

/// The library's functions by their own names, which hide OpenSSL's declarations in this namespace, also
/// from OpenSSL's macros. Null until load_openssl().
#define CAISSON_DECLARE(name) extern decltype(&::name) name;
CAISSON_OPENSSL_FUNCTIONS(CAISSON_DECLARE)
#undef CAISSON_DECLARE

/// Any thread, any number of times. kFailedPrecondition says what is missing.
Result<void> load_openssl();

}  // namespace caisson::net
