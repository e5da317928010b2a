#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/state/store.hpp"

namespace caisson::state {

/// `state.in-memory`: everything is gone when the process ends, the ledger too. For tests and
/// development; it cannot keep the promise that a dead process loses no acknowledged write.
class MemoryStore final : public Store {
 public:
  MemoryStore(EventLoop& loop, WallClock now);

  Task<Result<std::optional<Entry>>> get(std::string key, Deadline deadline) override;
  Task<Result<std::vector<WriteResult>>> write(Batch batch, Deadline deadline) override;
  [[nodiscard]] std::vector<std::string> features() const override;
  [[nodiscard]] std::string note() const override { return "kept in memory only: lost when the process ends"; }

 private:
  struct Item {
    std::string value;
    std::string etag;
    std::int64_t ends = 0;  // Unix milliseconds; zero: never
  };
  struct LedgerEntry {
    std::uint64_t generation = 0;
    std::int64_t written = 0;
    std::vector<WriteResult> results;
  };
  using LedgerKey = std::pair<std::uint64_t, std::uint32_t>;  // gateway incarnation, slot

  Item* find(const std::string& key);
  [[nodiscard]] bool refuses(const Write& write);
  WriteResult apply(Write& write);
  std::vector<WriteResult> execute(Batch& batch);
  void sweep();

  WallClock now_;
  std::unordered_map<std::string, Item> items_;
  std::map<LedgerKey, LedgerEntry> ledger_;
  Timer sweeper_;
};

}  // namespace caisson::state
