#include "capabilities/state/memory_store.hpp"

#include <algorithm>

#include "capabilities/state/etag.hpp"
#include "capabilities/state/ledger.hpp"
#include "capabilities/state/wall_time.hpp"

namespace caisson::state {

namespace {

constexpr Nanos kSweepEvery = std::chrono::seconds(10);
constexpr std::int64_t kLedgerKeptMs = 3'600'000;

}  // namespace

MemoryStore::MemoryStore(EventLoop& loop, WallClock now) : now_(std::move(now)), sweeper_(loop, [this] { sweep(); }) {
  sweeper_.start_after(kSweepEvery);
}

std::vector<std::string> MemoryStore::features() const {
  return {"ETAG", "TRANSACTIONAL", "TTL", "DELETE_WITH_PREFIX", "KEYS_LIKE"};
}

Task<Result<std::optional<Entry>>> MemoryStore::get(std::string key, Deadline) {
  const Item* const item = find(key);
  if (item == nullptr) co_return std::optional<Entry>();
  std::optional<Entry> entry(Entry{item->value, item->etag, {}});
  if (item->ends != 0) entry->expires = rfc3339(item->ends);
  co_return entry;
}

Task<Result<std::vector<WriteResult>>> MemoryStore::write(Batch batch, Deadline) {
  if (!has_identity(batch.request)) co_return execute(batch);

  const LedgerKey key(batch.request.incarnation, batch.request.slot);
  const auto known = ledger_.find(key);
  if (known != ledger_.end()) {
    if (known->second.generation == batch.request.generation) co_return known->second.results;
    if (known->second.generation > batch.request.generation) {
      co_return Error{Errc::kFailedPrecondition, std::string(kStaleRequest)};
    }
  }
  std::vector<WriteResult> results = execute(batch);
  ledger_[key] = {batch.request.generation, now_(), results};
  co_return results;
}

std::vector<WriteResult> MemoryStore::execute(Batch& batch) {
  std::vector<WriteResult> results;
  if (batch.atomic) {
    // All conditions are looked at before anything is applied, as Dapr's own does.
    const auto refused = std::ranges::find_if(batch.writes, [this](const Write& write) { return refuses(write); });
    if (refused != batch.writes.end()) {
      results.assign(batch.writes.size(), {Errc::kCancelled, std::string(kOtherRefused)});
      results[static_cast<std::size_t>(refused - batch.writes.begin())] = {Errc::kAborted, std::string(kEtagMismatch)};
      return results;
    }
  }
  for (Write& write : batch.writes) {
    if (!batch.atomic && refuses(write)) {
      results.push_back({Errc::kAborted, std::string(kEtagMismatch)});
    } else {
      results.push_back(apply(write));
    }
  }
  return results;
}

MemoryStore::Item* MemoryStore::find(const std::string& key) {
  const auto item = items_.find(key);
  if (item == items_.end()) return nullptr;
  if (item->second.ends != 0 && item->second.ends <= now_()) {
    items_.erase(item);
    return nullptr;
  }
  return &item->second;
}

bool MemoryStore::refuses(const Write& write) {
  const Item* const item = find(write.key);
  if (!write.if_match.empty()) return item == nullptr || item->etag != write.if_match;
  return write.first_write && item != nullptr;
}

WriteResult MemoryStore::apply(Write& write) {
  if (write.kind == ChangeKind::kDelete) {
    items_.erase(write.key);
    return {};
  }
  Item item;
  item.value = std::move(write.value);
  item.etag = new_etag();
  if (write.ttl_seconds > 0) item.ends = now_() + write.ttl_seconds * 1000;
  WriteResult written{Errc::kOk, item.etag};
  items_.insert_or_assign(std::move(write.key), std::move(item));
  return written;
}

void MemoryStore::sweep() {
  const std::int64_t now = now_();
  std::erase_if(items_, [&](const auto& entry) { return entry.second.ends != 0 && entry.second.ends <= now; });
  std::erase_if(ledger_, [&](const auto& entry) { return entry.second.written + kLedgerKeptMs < now; });
  sweeper_.start_after(kSweepEvery);
}

}  // namespace caisson::state
