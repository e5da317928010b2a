#pragma once

#include <vector>

#include "capabilities/state/store.hpp"
#include "sdk/redis/command.hpp"
#include "sdk/redis/reply.hpp"

/// The script that executes a batch within Redis, all of it at once as scripts do.
///
/// Values lie as Dapr's state.redis lays them: a hash with `data`, `version` (a decimal counter, the
/// etag) and, where a first-write wrote it, `first-write` = 0. The ledger is one hash per gateway
/// incarnation, `caisson:ledger:<16 hex digits>`, with a field per slot: the generation in 20 decimal
/// digits, a blank, and the results.
namespace caisson::state::redis_script {

/// How long a gateway that is gone, or writes nothing, is remembered.
inline constexpr std::int64_t kLedgerKeptSeconds = 24 * 3600;

enum class Form : std::uint8_t {
  kHash,  // EVALSHA: the server knows the script, or says NOSCRIPT
  kText,  // EVAL
};

/// `refresh_ledger`: the ledger's hash is kept for another kLedgerKeptSeconds, which also happens when
/// a slot is new to it.
redis::Command command_of(const Batch& batch, bool refresh_ledger, Form form);

[[nodiscard]] bool is_unknown_script(const redis::Reply& reply);

/// What the script answered: one result per write of the batch. kFailedPrecondition for a request that
/// is older than its slot's last. kPermissionDenied: the server does not let us; nothing was written.
/// kUnknown for an error in the middle.
Result<std::vector<WriteResult>> results_of(const redis::Reply& reply, const Batch& batch);

/// True for a text that can be a version: a whole number.
[[nodiscard]] bool can_be_etag(std::string_view etag);

}  // namespace caisson::state::redis_script
