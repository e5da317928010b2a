#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "capabilities/lock/operation.hpp"
#include "capabilities/lock/store.hpp"
#include "config-cache/documents.hpp"
#include "sdk/component_set.hpp"
#include "sdk/key_prefix.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::lock {

/// A lock component: a store and how keys are made for it.
class LockComponent final : public sdk::Component {
 public:
  LockComponent(std::unique_ptr<Store> opened, sdk::KeyPrefix key_prefix)
      : store(std::move(opened)), prefix(std::move(key_prefix)) {}

  [[nodiscard]] std::optional<std::string> down_reason() const override { return store->down_reason(); }
  [[nodiscard]] std::string note() const override { return store->note(); }

  const std::unique_ptr<Store> store;
  const sdk::KeyPrefix prefix;
};

/// Why an operation was refused, whatever API asked.
enum class Refusal : std::uint8_t {
  kMalformed,     // a field of the request
  kNoStores,      // no lock store is configured for the app at all
  kUnknownStore,  // none of that name for the app
  kFailed,        // by the store, or it is not ready
};

struct Refused {
  Refusal why = Refusal::kFailed;
  /// In Dapr's words, except kFailed: there only the cause, the API says what failed.
  std::string message;
};

/// A value or why there is none.
template <class T>
struct Answered {
  T value{};
  std::optional<Refused> refused;
};

/// Who asks, and until when.
struct Caller {
  std::string app;
  RequestId request;
  Deadline deadline = Deadline::never();
};

/// The lock capability without any API: takes an operation, gives its result. One thread.
class Service {
 public:
  explicit Service(sdk::Context& context);

  void configure(const config::Generation& generation);
  [[nodiscard]] std::vector<sdk::ComponentStatus> status() const { return components_.status(); }

  /// True: the caller's owner holds the lock now.
  Task<Answered<bool>> try_lock(TryLock lock, Caller caller);
  Task<Answered<Unlocked>> unlock(Unlock unlock, Caller caller);

 private:
  using Found = Answered<std::shared_ptr<LockComponent>>;

  /// Checks in Dapr's order, and waits for a store that is still being opened for the first time.
  Task<Found> find(std::string store, std::string resource, std::string owner, Caller caller);
  Task<Answered<Outcome>> execute(std::string store, std::string resource, Operation operation, Caller caller);

  std::map<std::string, std::string, std::less<>> types_;  // of components, by name
  sdk::Resiliency resiliency_;
  sdk::ComponentSet components_;
};

}  // namespace caisson::lock
