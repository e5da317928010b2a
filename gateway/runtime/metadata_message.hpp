#pragma once

#include <string_view>

#include "bus/result.hpp"
#include "dapr/proto/runtime/v1/metadata.pb.h"

namespace caisson::gateway {

/// What render_metadata() says (gateway/runtime/metadata.hpp), as the gRPC API's message, so that both say the
/// same. Members that the message does not have are left out; kInternal: that is no JSON object.
Result<::dapr::proto::runtime::v1::GetMetadataResponse> metadata_message(std::string_view json);

}  // namespace caisson::gateway
