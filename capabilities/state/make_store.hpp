#pragma once

#include <memory>
#include <string>

#include "capabilities/state/store.hpp"
#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"
#include "sdk/key_prefix.hpp"

namespace caisson::state {

/// A state component: a store with what its metadata says for every store alike.
class StateComponent final : public sdk::Component {
 public:
  StateComponent(std::unique_ptr<Store> opened, sdk::KeyPrefix key_prefix, std::int64_t ttl_seconds)
      : store(std::move(opened)), prefix(std::move(key_prefix)), default_ttl_seconds(ttl_seconds) {}

  [[nodiscard]] std::vector<std::string> capabilities() const override { return store->features(); }
  [[nodiscard]] std::optional<std::string> down_reason() const override { return store->down_reason(); }
  [[nodiscard]] std::string note() const override { return store->note(); }

  const std::unique_ptr<Store> store;
  const sdk::KeyPrefix prefix;
  /// For items that say nothing; zero: none.
  const std::int64_t default_ttl_seconds;
};

/// Opens the store that a component asks for. kInvalidArgument for an unknown type or version.
Task<Result<std::shared_ptr<sdk::Component>>> make_store(sdk::Context& context, const sdk::ComponentSpec& spec,
                                                         Deadline deadline);

/// True for what lives in one process: no other instance may open it as well.
bool is_exclusive(const config::Component& component);

}  // namespace caisson::state
