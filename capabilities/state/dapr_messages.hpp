#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bus/result.hpp"
#include "capabilities/state/operation.hpp"
#include "capabilities/state/service.hpp"
#include "dapr/proto/runtime/v1/state.pb.h"

/// The messages of the Dapr gRPC state API and the operations they ask for. Nothing here does any I/O.
namespace caisson::state {

namespace rpc = ::dapr::proto::runtime::v1;

/// Whether values with the item metadata contentType = application/json are taken for JSON, as SaveState
/// does and ExecuteStateTransaction does not.
enum class JsonValues : std::uint8_t { kDecoded, kAsBytes };

Get get_of(rpc::GetStateRequest message);
/// kUnknown: a value that says it is JSON and is none.
Result<Change> change_of(ChangeKind kind, ::dapr::proto::common::v1::StateItem item, JsonValues json);
Change change_of(rpc::DeleteStateRequest message);

rpc::GetStateResponse message_of(Entry entry);
rpc::GetBulkStateResponse message_of(const std::vector<std::string>& keys, std::vector<Found> found);

}  // namespace caisson::state
