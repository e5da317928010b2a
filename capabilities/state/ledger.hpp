#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "capabilities/state/store.hpp"

namespace caisson::state {

/// The results of a batch as a ledger keeps them: per write the code's number, the text's length in
/// bytes and the text, "0 36:6f1c…".
std::string encode_results(const std::vector<WriteResult>& results);

/// Reads what encode_results() wrote; kDataLoss when it is something else.
Result<std::vector<WriteResult>> decode_results(std::string_view text);

inline bool has_identity(const RequestId& request) { return !(request == RequestId{}); }

}  // namespace caisson::state
