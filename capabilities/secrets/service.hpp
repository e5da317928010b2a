#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "capabilities/secrets/secret_store.hpp"
#include "config-cache/documents.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::secrets {

/// Why an operation was refused, whatever API asked.
enum class Refusal : std::uint8_t {
  kNoStores,      // no secret store is configured for the app at all
  kUnknownStore,  // none of that name for the app
  kDenied,        // by the app's secret scopes
  kFailed,        // by the store, or it is not ready; `message` says why
};

struct Refused {
  Refusal why = Refusal::kFailed;
  std::string message;
};

/// A value or why there is none.
template <class T>
struct Answered {
  T value;
  std::optional<Refused> refused;
};

/// Secrets for apps (with scopes) and for the owners of components (without). One thread.
class SecretService {
 public:
  explicit SecretService(sdk::Context& context);

  void start();
  void configure(const config::Generation& generation);

  Task<Answered<Secret>> get(std::string app, std::string store, std::string name, Deadline deadline);
  /// What the scopes deny is left out.
  Task<Answered<Secrets>> get_all(std::string app, std::string store, Deadline deadline);

  /// The value of one key for a secretKeyRef; no scopes. kNotFound names the secret, kUnavailable
  /// the store that is not ready.
  Task<Result<std::string>> resolve(std::string store, std::string name, std::string key, Deadline deadline);

  [[nodiscard]] std::vector<sdk::ComponentStatus> status() const { return stores_.status(); }

 private:
  using StorePtr = std::shared_ptr<SecretStore>;

  Task<Answered<Secret>> read(std::string app, std::string store, std::string name, Deadline deadline);
  Task<Answered<Secrets>> read_all(std::string app, std::string store, Deadline deadline);
  void count(const std::optional<Refused>& refused);
  Task<Answered<StorePtr>> find(std::string app, std::string store, Deadline deadline);
  [[nodiscard]] bool allowed(std::string_view store, std::string_view name) const;
  [[nodiscard]] sdk::Policy policy(std::string_view app, const std::string& store);

  sdk::Context& context_;
  sdk::Counter read_;
  sdk::Counter denied_;
  sdk::Counter failed_;
  bool configured_ = false;
  std::map<std::string, std::string, std::less<>> types_;  // of components, by name
  std::map<std::string, config::SecretScope, std::less<>> scopes_;
  sdk::Resiliency resiliency_;
  sdk::ComponentSet stores_;
};

}  // namespace caisson::secrets
