#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bus/event_loop.hpp"
#include "capabilities/lock/store.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::lock {

/// `lock.redis`: a lock lies as Dapr's lays it, a string with the owner and an expiry, so that a lock taken by
/// either runtime is respected by the other. Operation and entry of the ledger are one script; what Redis
/// may not answer because a connection broke is asked again when it has an identity.
///
/// A server with replicas is refused unless Sentinel watches it, as Dapr refuses it: the lock would be
/// forgotten with the master.
class RedisStore final : public Store {
 public:
  /// Waits for the server until the deadline. `changed`: down_reason() has changed.
  static Task<Result<std::unique_ptr<Store>>> open(EventLoop& loop, redis::Settings settings,
                                                   std::function<void()> changed, Deadline deadline);

  Task<Result<Outcome>> execute(Operation operation, Deadline deadline) override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return client_.down_reason(); }

 private:
  RedisStore(EventLoop& loop, redis::Settings settings, std::function<void()> changed);
  Task<Result<redis::Reply>> ask(const Operation& operation, Deadline deadline);

  redis::Client client_;
  std::string script_hash_;  // as the server calls it; empty: it does not say
};

}  // namespace caisson::lock
