#pragma once

#include <array>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::sdk {

/// Receives one secret so that nobody on the way can read it: neither the gateway, which carries the
/// call, nor what its freed memory holds afterwards. Make one per call; its key is wiped at the end.
///
/// libsodium's sealed box (X25519, XSalsa20-Poly1305): anonymous, so it hides the secret but does not
/// prove who sent it; that the answer comes from `secrets` is the gateway's word.
class SecretReceiver {
 public:
  SecretReceiver();
  SecretReceiver(const SecretReceiver&) = delete;
  SecretReceiver& operator=(const SecretReceiver&) = delete;
  ~SecretReceiver();

  /// Goes with the call as its header `seal-for`, in hex.
  [[nodiscard]] const std::string& public_key() const { return public_key_; }
  /// kDataLoss when the bytes were not sealed for this receiver.
  [[nodiscard]] Result<std::string> open(std::string_view sealed) const;

 private:
  std::string public_key_;
  std::array<unsigned char, 32> public_bytes_{};
  std::array<unsigned char, 32> secret_bytes_{};
};

/// Seals a secret for the receiver with that key; kInvalidArgument when it is none.
Result<std::string> seal_secret(std::string_view public_key, std::string_view secret);

}  // namespace caisson::sdk
