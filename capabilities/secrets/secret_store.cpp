#include "capabilities/secrets/secret_store.hpp"

#include <cstring>

namespace caisson::secrets {

void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

void wipe(Secret& secret) {
  for (auto& [key, value] : secret) wipe(value);
  secret.clear();
}

void wipe(Secrets& secrets) {
  for (auto& [name, secret] : secrets) wipe(secret);
  secrets.clear();
}

}  // namespace caisson::secrets
