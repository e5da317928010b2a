#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/config/items/subscriptions.hpp"
#include "config-cache/documents.hpp"
#include "sdk/component_set.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::items {

/// Why an operation was refused, whatever API asked.
enum class Refusal : std::uint8_t {
  kNoStores,      // no configuration store is configured for the app at all
  kUnknownStore,  // none of that name for the app
  kNoAppChannel,  // the app has no port to be told at
  kFailed,        // by the store, by a limit, or the store is not ready; `message` says why
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

/// The configuration API for apps, in typed operations. One thread.
class ItemsService {
 public:
  explicit ItemsService(sdk::Context& context);

  void start() { subscriptions_.start(); }
  /// Takes the configuration stores among the components, and their resiliency.
  void configure(const config::Generation& generation);
  void app_changed(const sdk::AppState& app) { subscriptions_.app_changed(app); }
  Task<void> drain(Deadline deadline) { return subscriptions_.drain(deadline); }

  /// The items of those keys; all when none is named.
  Task<Answered<Items>> get(std::string app, std::string store, std::vector<std::string> keys, Deadline deadline);
  /// From now on the app is told of changes (delivery.hpp); gives the subscription's id.
  Task<Answered<std::string>> subscribe(std::string app, std::string store, std::vector<std::string> keys,
                                        Deadline deadline);
  /// Who asks for one over a stream (subscriptions.hpp) needs no port.
  Task<Answered<std::string>> subscribe_stream(std::string app, std::string store, std::vector<std::string> keys,
                                               std::string resumes, Deadline deadline);
  Subscriptions& subscriptions() { return subscriptions_; }
  Task<Answered<bool>> unsubscribe(std::string app, std::string store, std::string id, bool streamed,
                                   Deadline deadline);

  [[nodiscard]] std::vector<sdk::ComponentStatus> status() const { return stores_.status(); }

 private:
  using StorePtr = std::shared_ptr<Store>;
  Task<Answered<StorePtr>> find(std::string app, std::string store, Deadline deadline);
  Task<std::optional<Refused>> may_ask(std::string app, std::string store, std::vector<std::string> keys,
                                       Deadline deadline);
  [[nodiscard]] Subscriptions::FoundStore find_now(const std::string& store, const std::string& app) const;

  sdk::Context& context_;
  std::map<std::string, std::string, std::less<>> types_;  // of components, by name
  sdk::Resiliency resiliency_;
  sdk::ComponentSet stores_;
  Deliverer deliverer_;
  Subscriptions subscriptions_;
};

}  // namespace caisson::items
