#include "capabilities/state/redis_store.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/state/ledger.hpp"
#include "capabilities/state/redis_script.hpp"
#include "sdk/redis/replication.hpp"

namespace caisson::state {

namespace {

using redis::Command;
using redis::Reply;
using redis_script::Form;

/// How often what may safely be asked again is asked, the first time included.
constexpr int kAttempts = 3;
constexpr Nanos kLedgerRefreshEvery = std::chrono::minutes(10);
constexpr Nanos kReplicasCountedEvery = std::chrono::seconds(10);
/// How long the replicas may take; Dapr's number.
constexpr Nanos kWaitForReplicas = std::chrono::seconds(1);

redis::Client::Hooks hooks_with(std::function<void()> changed) {
  redis::Client::Hooks hooks;
  hooks.changed = std::move(changed);
  return hooks;
}

bool is_wrong_type(const Reply& reply) { return reply.is_error() && reply.text.starts_with("WRONGTYPE"); }

Error error_of(const Reply& reply) {
  const Errc code = reply.text.starts_with("NOPERM") ? Errc::kPermissionDenied : Errc::kInternal;
  return {code, "Redis: " + reply.text};
}

/// The answer to HGETALL.
Result<std::optional<Entry>> entry_of_hash(Reply reply) {
  if (reply.is_error()) return error_of(reply);
  if (reply.items.empty()) return std::optional<Entry>();
  std::optional<std::string> data;
  std::optional<std::string> version;
  for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    if (reply.items[i].text == "data") data = std::move(reply.items[i + 1].text);
    if (reply.items[i].text == "version") version = std::move(reply.items[i + 1].text);
  }
  if (!data || !version) {
    return Error{Errc::kInternal, "the key holds a hash that is no state: 'data' or 'version' is missing"};
  }
  return std::optional<Entry>(Entry{*std::move(data), *std::move(version), {}});
}

/// The answer to GET, for a key that is not a hash: a plain string is a value without an etag.
Result<std::optional<Entry>> entry_of_string(Reply reply) {
  if (is_wrong_type(reply)) return Error{Errc::kInternal, "the key holds neither a hash nor a string"};
  if (reply.is_error()) return error_of(reply);
  if (reply.is_nil()) return std::optional<Entry>();
  return std::optional<Entry>(Entry{std::move(reply.text), {}, {}});
}

}  // namespace

RedisStore::RedisStore(EventLoop& loop, redis::Settings settings, std::function<void()> changed)
    : loop_(loop), settings_(std::move(settings)), client_(loop, settings_, hooks_with(std::move(changed))) {}

Task<Result<std::unique_ptr<Store>>> RedisStore::open(EventLoop& loop, redis::Settings settings,
                                                      std::function<void()> changed, Deadline deadline) {
  std::unique_ptr<RedisStore> store(new RedisStore(loop, std::move(settings), std::move(changed)));
  auto task = store->client_.ready(deadline);
  CO_TRY(co_await std::move(task));
  co_return std::unique_ptr<Store>(std::move(store));
}

std::vector<std::string> RedisStore::features() const { return {"ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE"}; }

// --- reading ---

/// The common case of one key without a vector of one.
Task<Result<std::optional<Entry>>> RedisStore::get(std::string key, Deadline deadline) {
  for (int attempt = 1;; ++attempt) {
    auto task = client_.ask(Command{"HGETALL", key}, deadline);
    auto reply = co_await std::move(task);
    if (!reply && reply.error().code == Errc::kUnknown && attempt < kAttempts) continue;
    if (!reply) co_return std::move(reply).error();
    if (!is_wrong_type(*reply)) co_return entry_of_hash(*std::move(reply));
    break;
  }
  std::vector<Command> commands;
  commands.push_back({"GET", key});
  auto task = read(std::move(commands), deadline);
  CO_ASSIGN(auto replies, co_await std::move(task));
  co_return entry_of_string(std::move(replies.front()));
}

Task<std::vector<RedisStore::Found>> RedisStore::get_many(std::vector<std::string> keys, Deadline deadline) {
  std::vector<Command> commands;
  for (const std::string& key : keys) commands.push_back({"HGETALL", key});
  auto task = read(std::move(commands), deadline);
  auto hashes = co_await std::move(task);
  if (!hashes) co_return std::vector<Found>(keys.size(), hashes.error());

  std::vector<Command> others;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (is_wrong_type((*hashes)[i])) others.push_back({"GET", keys[i]});
  }
  auto other_task = read(std::move(others), deadline);
  auto strings = co_await std::move(other_task);

  std::vector<Found> found;
  std::size_t next = 0;
  for (Reply& reply : *hashes) {
    if (!is_wrong_type(reply)) {
      found.push_back(entry_of_hash(std::move(reply)));
    } else if (strings) {
      found.push_back(entry_of_string(std::move((*strings)[next++])));
    } else {
      found.push_back(strings.error());
    }
  }
  co_return found;
}

Task<Result<std::vector<Reply>>> RedisStore::read(std::vector<Command> commands, Deadline deadline) {
  for (int attempt = 1;; ++attempt) {
    auto task = client_.ask_all(commands, deadline);
    auto replies = co_await std::move(task);
    if (replies || replies.error().code != Errc::kUnknown || attempt == kAttempts) co_return replies;
  }
}

// --- writing ---

Task<Result<std::vector<WriteResult>>> RedisStore::write(Batch batch, Deadline deadline) {
  // Without an identity a second execution would be a second write.
  const int attempts = has_identity(batch.request) ? kAttempts : 1;
  for (int attempt = 1;; ++attempt) {
    auto task = execute(batch, deadline);
    auto reply = co_await std::move(task);
    if (reply) co_return redis_script::results_of(*reply, batch);
    if (reply.error().code != Errc::kUnknown || attempt == attempts) co_return std::move(reply).error();
  }
}

Task<Result<Reply>> RedisStore::execute(const Batch& batch, Deadline deadline) {
  if (std::ranges::any_of(batch.writes, &Write::strong)) {
    auto counting = replicas(deadline);
    const std::int64_t count = co_await std::move(counting);
    if (count > 0) {
      auto task = execute_strongly(batch, count, deadline);
      co_return co_await std::move(task);
    }
  }
  const bool refresh = ledger_is_due(batch.request);
  Command command = redis_script::command_of(batch, refresh, Form::kHash);
  auto task = client_.ask(std::move(command), deadline);
  CO_ASSIGN(Reply reply, co_await std::move(task));
  if (!redis_script::is_unknown_script(reply)) co_return reply;

  Command whole = redis_script::command_of(batch, refresh, Form::kText);
  auto whole_task = client_.ask(std::move(whole), deadline);
  co_return co_await std::move(whole_task);
}

/// WAIT speaks of the writes of its own connection, so both go together.
Task<Result<Reply>> RedisStore::execute_strongly(const Batch& batch, std::int64_t replicas, Deadline deadline) {
  if (strong_client_ == nullptr) strong_client_ = std::make_unique<redis::Client>(loop_, settings_, hooks_with([] {}));
  const Nanos patience = std::min(kWaitForReplicas, settings_.read_timeout / 2);
  const std::int64_t milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
  Command waiting{"WAIT"};
  waiting.add(replicas).add(std::max<std::int64_t>(milliseconds, 1));  // 0 would be for ever

  const bool refresh = ledger_is_due(batch.request);
  std::vector<Reply> replies;
  for (const Form form : {Form::kHash, Form::kText}) {
    std::vector<Command> commands;
    commands.push_back(redis_script::command_of(batch, refresh, form));
    commands.push_back(waiting);
    auto task = strong_client_->ask_all(std::move(commands), deadline);
    CO_ASSIGN(replies, co_await std::move(task));
    if (!redis_script::is_unknown_script(replies.front())) break;
  }
  if (replies[0].is_error() || replies[1].integer >= replicas) co_return std::move(replies[0]);
  // Asked again, if it may be, with those that are still there: one that has left is not waited for.
  replicas_.reset();
  co_return Error{Errc::kUnknown,
                  fmt::format("written, but {} of {} replicas have it so far", replies[1].integer, replicas)};
}

/// How many replicas the server has; none when it does not say.
Task<std::int64_t> RedisStore::replicas(Deadline deadline) {
  if (!replicas_ || loop_.now() - replicas_counted_ > kReplicasCountedEvery) {
    auto task = client_.ask(Command{"INFO", "replication"}, deadline);
    const auto info = co_await std::move(task);
    replicas_ = info ? redis::connected_replicas(info->text) : 0;
    replicas_counted_ = loop_.now();
  }
  co_return *replicas_;
}

/// Whether the ledger's hash has to be told to live on; a gateway that is gone lets it end.
bool RedisStore::ledger_is_due(const RequestId& request) {
  if (!has_identity(request)) return false;
  const auto [refreshed, is_new] = ledgers_refreshed_.try_emplace(request.incarnation, loop_.now());
  if (is_new) {
    const Nanos now = loop_.now();
    std::erase_if(ledgers_refreshed_, [&](const auto& one) { return now - one.second > 2 * kLedgerRefreshEvery; });
    return true;
  }
  if (loop_.now() - refreshed->second < kLedgerRefreshEvery) return false;
  refreshed->second = loop_.now();
  return true;
}

}  // namespace caisson::state
