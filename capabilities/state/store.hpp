#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/wire.hpp"
#include "capabilities/state/operation.hpp"

namespace caisson::state {

/// A value and the etag it was written under. Every write gives the key a new etag.
struct Entry {
  std::string value;
  std::string etag;
  /// When it ends, RFC 3339 in UTC; empty: never.
  std::string expires;
};

/// One write as a store takes it: the key with its prefix, the options checked.
struct Write {
  ChangeKind kind = ChangeKind::kSet;
  std::string key;
  std::string value;
  ValueForm form = ValueForm::kJson;
  /// The write is refused unless this is the stored etag; empty: no such condition.
  std::string if_match;
  /// Without an etag: the write is refused when the key exists.
  bool first_write = false;
  /// The value ends after so many seconds; zero: never.
  std::int64_t ttl_seconds = 0;
  /// Acknowledged only when the store's replicas have it too, where it has any.
  bool strong = false;
};

/// The writes of one request.
struct Batch {
  /// For the ledger; all zero: the request has no identity, and none is kept.
  RequestId request;
  bool atomic = false;
  std::vector<Write> writes;
};

/// What became of one write: kOk with the new etag (empty for a delete) in `text`, or why it was
/// refused: kAborted for an etag that is not the stored one or a key that exists already,
/// kInvalidArgument for an etag that can be none of this store, kCancelled for a write of an atomic
/// batch in which another was refused.
struct WriteResult {
  Errc code = Errc::kOk;
  std::string text;

  bool operator==(const WriteResult&) const = default;
};

/// Milliseconds since 1970, from any thread. Only ages of values are measured with it.
using WallClock = std::function<std::int64_t()>;

/// Key/value storage behind the state capability. Each backend is one implementation.
///
/// Used only on the event-loop thread. A missing key is an answer, not an error. A value whose time
/// is over is missing.
///
/// The ledger: a batch with a request id is executed together with the entry (gateway incarnation,
/// slot) -> (generation, results). Stored generation equal: nothing is executed, the stored results
/// are the answer. Stored generation greater: refused with kFailedPrecondition, because the slot has
/// been used again since. Smaller or none: executed, and stored with its results, refusals included.
class Store {
 public:
  virtual ~Store() = default;

  virtual Task<Result<std::optional<Entry>>> get(std::string key, Deadline deadline) = 0;
  /// Several keys, one answer each, in order. As it stands: one after the other; a store that is
  /// reached over a network asks for all at once.
  virtual Task<std::vector<Result<std::optional<Entry>>>> get_many(std::vector<std::string> keys, Deadline deadline);

  /// Executes a batch; one result per write, in order. Returns once what was written is as durable
  /// as this store can make it. An error means that the batch as a whole failed: kUnavailable,
  /// kResourceExhausted (disk or queue full), kDataLoss and kFailedPrecondition: nothing was
  /// written; kDeadlineExceeded and kUnknown: it may have been written.
  virtual Task<Result<std::vector<WriteResult>>> write(Batch batch, Deadline deadline) = 0;

  /// Feature names for the runtime's metadata: ETAG, TRANSACTIONAL, ….
  [[nodiscard]] virtual std::vector<std::string> features() const = 0;
  /// Why it cannot serve at the moment; nothing while it can.
  [[nodiscard]] virtual std::optional<std::string> down_reason() const { return std::nullopt; }
  /// Something its owner has to know although it serves, e.g. that it began anew.
  [[nodiscard]] virtual std::string note() const { return {}; }
};

inline constexpr std::string_view kEtagMismatch = "possible etag mismatch. error from state store";
inline constexpr std::string_view kStaleRequest =
    "the request is older than another one that its gateway has sent since";
inline constexpr std::string_view kOtherRefused = "not written: another operation was refused";

}  // namespace caisson::state
