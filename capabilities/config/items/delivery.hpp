#pragma once

#include <string>

#include "capabilities/config/items/subscription.hpp"
#include "sdk/capability.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::items {

/// Tells an app of one item: POST /configuration/STORE/KEY with {"id","items":{KEY:{…}}}, as often as the
/// component's inbound policy says. Only 200 counts as told. One thread; outlives its deliveries.
class Deliverer {
 public:
  Deliverer(sdk::Context& context, sdk::Resiliency& resiliency) : context_(context), resiliency_(resiliency) {}

  /// `type` is that of the store's component, for the policy. The error says what the app answered, or
  /// why it could not be asked; the app may have got the item all the same.
  Task<Result<void>> deliver(Subscription subscription, std::string type, std::string key, Item item);

 private:
  Task<Result<std::uint16_t>> post(const Subscription& subscription, const std::string& path, const std::string& body,
                                   Deadline deadline);

  sdk::Context& context_;
  sdk::Resiliency& resiliency_;
};

/// Where an update of that key is posted; what may not stand in a path is percent-encoded.
std::string update_path(std::string_view store, std::string_view key);

}  // namespace caisson::items
