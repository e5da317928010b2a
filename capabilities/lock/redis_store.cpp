#include "capabilities/lock/redis_store.hpp"

#include <fmt/format.h>

#include "sdk/redis/replication.hpp"

namespace caisson::lock {

namespace {

using redis::Command;
using redis::Reply;

/// How often what may safely be asked again is asked, the first time included.
constexpr int kAttempts = 3;

/// KEYS: the lock, then the ledger's hash if there is one.
/// ARGV: slot, generation (20 digits), owner, seconds (0: release).
/// Answers the number of an Outcome, or < for a request that is too old. A server that is out of memory or
/// read-only refuses the first write, never a later one, so lock and ledger are written both or not at all.
constexpr std::string_view kScript = R"lua(
local ledger, slot, generation, owner, seconds = KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if ledger then
  local known = redis.call('HGET', ledger, slot)
  if known then
    local last = string.sub(known, 1, 20)
    if last == generation then return string.sub(known, 22) end
    if last > generation then return '<' end
  end
end

local outcome
if seconds ~= '0' then
  outcome = redis.call('SET', KEYS[1], owner, 'NX', 'EX', seconds) and '0' or '1'
else
  local holder = redis.call('GET', KEYS[1])
  if not holder then
    outcome = '3'
  elseif holder ~= owner then
    outcome = '4'
  else
    redis.call('DEL', KEYS[1])
    outcome = '2'
  end
end

if ledger then
  redis.call('HSET', ledger, slot, generation .. ' ' .. outcome)
  redis.call('EXPIRE', ledger, 86400)
end
return outcome
)lua";
static_assert(static_cast<int>(Outcome::kTaken) == 0 && static_cast<int>(Outcome::kHeld) == 1 &&
              static_cast<int>(Outcome::kReleased) == 2 && static_cast<int>(Outcome::kDoesNotExist) == 3 &&
              static_cast<int>(Outcome::kBelongsToOthers) == 4);

redis::Client::Hooks hooks_with(std::function<void()> changed) {
  redis::Client::Hooks hooks;
  hooks.changed = std::move(changed);
  return hooks;
}

/// EVALSHA where the server's name for the script is known, else EVAL.
Command command_of(const Operation& operation, std::string_view script_hash) {
  const bool ledger = has_identity(operation.request);
  Command command{script_hash.empty() ? "EVAL" : "EVALSHA"};
  command.add(script_hash.empty() ? kScript : script_hash);
  command.add(std::int64_t{ledger ? 2 : 1}).add(operation.key);
  if (ledger) command.add(fmt::format("caisson:ledger:lock:{:016x}", operation.request.incarnation));
  command.add(std::int64_t{operation.request.slot}).add(fmt::format("{:020}", operation.request.generation));
  command.add(operation.owner).add(operation.action == Action::kTake ? operation.seconds : 0);
  return command;
}

Result<Outcome> outcome_of(const Reply& reply) {
  if (reply.is_error()) {
    // A script ends at its first error, and what can fail in it does so before it writes.
    const bool forbidden = reply.text.starts_with("NOPERM");
    return Error{forbidden ? Errc::kPermissionDenied : Errc::kFailedPrecondition, "Redis: " + reply.text};
  }
  if (reply.text == "<") return Error{Errc::kFailedPrecondition, std::string(kStaleRequest)};
  if (reply.text.size() == 1 && reply.text[0] >= '0' && reply.text[0] <= '0' + kLastOutcome) {
    return static_cast<Outcome>(reply.text[0] - '0');
  }
  return Error{Errc::kUnknown, "Redis gave an answer that is not of our script"};
}

}  // namespace

RedisStore::RedisStore(EventLoop& loop, redis::Settings settings, std::function<void()> changed)
    : client_(loop, std::move(settings), hooks_with(std::move(changed))) {}

Task<Result<std::unique_ptr<Store>>> RedisStore::open(EventLoop& loop, redis::Settings settings,
                                                      std::function<void()> changed, Deadline deadline) {
  const bool has_sentinel = !settings.sentinel_master.empty();
  std::unique_ptr<RedisStore> store(new RedisStore(loop, std::move(settings), std::move(changed)));
  auto ready = store->client_.ready(deadline);
  CO_TRY(co_await std::move(ready));
  if (!has_sentinel) {
    auto asking = store->client_.ask(Command{"INFO", "replication"}, deadline);
    CO_ASSIGN(const Reply info, co_await std::move(asking));
    if (!info.is_error() && redis::connected_replicas(info.text) > 0) {
      co_return Error{Errc::kFailedPrecondition,
                      "the server has replicas, and without 'failover' a lock would be forgotten with the master"};
    }
  }
  Command load{"SCRIPT", "LOAD"};
  load.add(kScript);
  auto loading = store->client_.ask(std::move(load), deadline);
  CO_ASSIGN(Reply loaded, co_await std::move(loading));
  if (!loaded.is_error()) store->script_hash_ = std::move(loaded.text);
  co_return std::unique_ptr<Store>(std::move(store));
}

Task<Result<Outcome>> RedisStore::execute(Operation operation, Deadline deadline) {
  // Without an identity a second execution would find the lock that the first one took.
  const int attempts = has_identity(operation.request) ? kAttempts : 1;
  for (int attempt = 1;; ++attempt) {
    auto task = ask(operation, deadline);
    const auto reply = co_await std::move(task);
    if (reply) co_return outcome_of(*reply);
    if (reply.error().code != Errc::kUnknown || attempt == attempts) co_return reply.error();
  }
}

Task<Result<Reply>> RedisStore::ask(const Operation& operation, Deadline deadline) {
  auto asking = client_.ask(command_of(operation, script_hash_), deadline);
  CO_ASSIGN(Reply reply, co_await std::move(asking));
  if (!reply.is_error() || !reply.text.starts_with("NOSCRIPT")) co_return reply;
  auto with_text = client_.ask(command_of(operation, {}), deadline);
  co_return co_await std::move(with_text);
}

}  // namespace caisson::lock
