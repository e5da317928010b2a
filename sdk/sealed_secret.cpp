#include "sdk/sealed_secret.hpp"

#include <sodium.h>

#include <cstdlib>

namespace caisson::sdk {

namespace {

static_assert(crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SECRETKEYBYTES == 32);

/// Must come before any other call; cheap the second time.
void prepare() {
  if (sodium_init() < 0) std::abort();  // no source of randomness: nothing can be kept secret
}

unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

SecretReceiver::SecretReceiver() {
  prepare();
  crypto_box_keypair(public_bytes_.data(), secret_bytes_.data());
  char hex[2 * crypto_box_PUBLICKEYBYTES + 1];
  public_key_ = sodium_bin2hex(hex, sizeof hex, public_bytes_.data(), public_bytes_.size());
}

SecretReceiver::~SecretReceiver() { sodium_memzero(secret_bytes_.data(), secret_bytes_.size()); }

Result<std::string> SecretReceiver::open(std::string_view sealed) const {
  const Error broken{Errc::kDataLoss, "the secret was not sealed for this process"};
  if (sealed.size() < crypto_box_SEALBYTES) return broken;
  std::string secret(sealed.size() - crypto_box_SEALBYTES, '\0');
  const int failed = crypto_box_seal_open(bytes_of(secret), bytes_of(sealed), sealed.size(), public_bytes_.data(),
                                          secret_bytes_.data());
  if (failed != 0) return broken;
  return secret;
}

Result<std::string> seal_secret(std::string_view public_key, std::string_view secret) {
  prepare();
  std::array<unsigned char, crypto_box_PUBLICKEYBYTES> key{};
  std::size_t size = 0;
  const int failed =
      sodium_hex2bin(key.data(), key.size(), public_key.data(), public_key.size(), nullptr, &size, nullptr);
  if (failed != 0 || size != key.size()) {
    return Error{Errc::kInvalidArgument, "header 'seal-for' is no public key"};
  }
  std::string sealed(secret.size() + crypto_box_SEALBYTES, '\0');
  if (crypto_box_seal(bytes_of(sealed), bytes_of(secret), secret.size(), key.data()) != 0) {
    return Error{Errc::kInvalidArgument, "header 'seal-for' is no public key"};
  }
  return sealed;
}

}  // namespace caisson::sdk
