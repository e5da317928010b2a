#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/wire.hpp"

namespace caisson::lock {

enum class Action : std::uint8_t { kTake, kRelease };

/// One operation as a store takes it: the key as it is stored.
struct Operation {
  /// For the ledger; all zero: the request has no identity, and none is kept.
  RequestId request;
  Action action = Action::kTake;
  std::string key;
  std::string owner;
  /// kTake: the lock ends by itself after so many; greater than zero.
  std::int64_t seconds = 0;
};

/// The numbers are stored in ledgers: append only.
enum class Outcome : std::uint8_t {
  kTaken = 0,
  kHeld = 1,  // by anybody
  kReleased = 2,
  kDoesNotExist = 3,
  kBelongsToOthers = 4,
};
inline constexpr std::uint8_t kLastOutcome = 4;

/// The time of day: expiries must outlive the process, which its own clock does not. Any thread.
using WallClock = std::function<std::chrono::system_clock::time_point()>;

/// Who holds what until when, outside the process's memory. Each backend is one implementation.
///
/// Used only on the event-loop thread. A lock whose time is over does not exist.
///
/// The ledger: an operation with a request id is executed together with the entry (gateway incarnation,
/// slot) -> (generation, outcome). Stored generation equal: nothing is executed, the stored outcome is
/// the answer. Stored generation greater: refused with kFailedPrecondition, because the slot has been
/// used again since. Smaller or none: executed, and stored. So who took a lock and died before it could
/// say so is not told by its next instance that somebody holds it.
class Store {
 public:
  virtual ~Store() = default;

  /// Returns once what was changed is as durable as this store can make it. kUnavailable,
  /// kResourceExhausted (disk or queue full), kDataLoss, kPermissionDenied and kFailedPrecondition:
  /// nothing was changed; kDeadlineExceeded and kUnknown: it may have been.
  virtual Task<Result<Outcome>> execute(Operation operation, Deadline deadline) = 0;

  /// Why it cannot serve at the moment; nothing while it can.
  [[nodiscard]] virtual std::optional<std::string> down_reason() const = 0;
  /// Something its owner has to know although it serves, e.g. that it began anew.
  [[nodiscard]] virtual std::string note() const { return {}; }
};

inline bool has_identity(const RequestId& request) { return !(request == RequestId{}); }

inline constexpr std::string_view kStaleRequest =
    "the request is older than another one that its gateway has sent since";

}  // namespace caisson::lock
