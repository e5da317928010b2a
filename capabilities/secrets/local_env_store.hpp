#pragma once

#include "capabilities/secrets/secret_store.hpp"

namespace caisson::secrets {

/// Environment variables of this process as secrets (`secretstores.local.env`), for development.
/// A variable that is not set is an empty secret, not a missing one. The runtime's own variables
/// (DAPR_…, APP_API_TOKEN) are never shown, whatever the prefix.
///
/// Metadata: `prefix`, put before every name.
class LocalEnvStore final : public SecretStore {
 public:
  explicit LocalEnvStore(std::string prefix) : prefix_(std::move(prefix)) {}

  Task<Result<Secret>> get(std::string name, Deadline deadline) override;
  Task<Result<Secrets>> get_all(Deadline deadline) override;

 private:
  std::string prefix_;
  LogLimit refused_log_;
};

}  // namespace caisson::secrets
