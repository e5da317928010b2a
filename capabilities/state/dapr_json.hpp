#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bus/result.hpp"
#include "capabilities/state/operation.hpp"
#include "capabilities/state/service.hpp"

/// The bodies of the Dapr HTTP state API. Members are found without regard to case, unknown ones are
/// ignored, null means absent; errors are kInvalidArgument and say what is wrong.
namespace caisson::state {

/// The array of a state set: [{"key","value","etag"?,"metadata"?,"options"?}, …].
Result<std::vector<Change>> parse_set(std::string body);

/// {"keys":[…],"parallelism"?,"metadata"?}; only the keys matter to these stores.
Result<std::vector<std::string>> parse_get_many(std::string body);

struct ParsedTransaction {
  std::vector<Change> changes;
  /// An operation that is neither upsert nor delete: its name, and how many were read before it.
  std::string unknown_operation;
  bool has_unknown_operation = false;
};
/// {"operations":[{"operation":"upsert"|"delete","request":{…}}],"metadata"?}
Result<ParsedTransaction> parse_transaction(std::string body);

/// [{"key","data"?,"etag"?,"metadata"?,"error"?}, …]. Empty when a stored value is no JSON: Dapr's
/// encoder fails there, and its answer is an empty body.
std::string format_get_many(const std::vector<std::string>& keys, const std::vector<Found>& found);

}  // namespace caisson::state
