#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/state/store.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::state {

/// `state.redis`: values lie as Dapr's lays them (redis_script.hpp), so that both can work on the same
/// data. Every batch is one script, so an atomic one is all or nothing; requests of one turn of the
/// loop are pipelined. The ledger is in Redis, written by the same script: as durable as the data.
///
/// What Redis may not answer because a connection broke is asked again: reads, and writes with an
/// identity, whose second execution the ledger prevents.
///
/// A strong write is acknowledged once all replicas have it; such writes have a connection of their own,
/// because waiting for replicas holds up what comes behind.
class RedisStore final : public Store {
 public:
  /// Waits for the server until the deadline. `changed`: down_reason() has changed.
  static Task<Result<std::unique_ptr<Store>>> open(EventLoop& loop, redis::Settings settings,
                                                   std::function<void()> changed, Deadline deadline);

  Task<Result<std::optional<Entry>>> get(std::string key, Deadline deadline) override;
  Task<std::vector<Result<std::optional<Entry>>>> get_many(std::vector<std::string> keys, Deadline deadline) override;
  Task<Result<std::vector<WriteResult>>> write(Batch batch, Deadline deadline) override;
  [[nodiscard]] std::vector<std::string> features() const override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return client_.down_reason(); }

 private:
  using Found = Result<std::optional<Entry>>;

  RedisStore(EventLoop& loop, redis::Settings settings, std::function<void()> changed);
  Task<Result<std::vector<redis::Reply>>> read(std::vector<redis::Command> commands, Deadline deadline);
  Task<Result<redis::Reply>> execute(const Batch& batch, Deadline deadline);
  Task<Result<redis::Reply>> execute_strongly(const Batch& batch, std::int64_t replicas, Deadline deadline);
  Task<std::int64_t> replicas(Deadline deadline);
  bool ledger_is_due(const RequestId& request);

  EventLoop& loop_;
  const redis::Settings settings_;
  redis::Client client_;
  std::unique_ptr<redis::Client> strong_client_;  // made for the first strong write that has replicas
  std::optional<std::int64_t> replicas_;
  Nanos replicas_counted_{};
  /// When each gateway's ledger was last given its time to live; only those that write here.
  std::map<std::uint64_t, Nanos> ledgers_refreshed_;
};

}  // namespace caisson::state
