#pragma once

#include "bus/errc.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::pubsub {

/// A refused publish in the words of Dapr's API: `error` for HTTP, and the code that gRPC has beside it.
struct PublishError {
  sdk::ApiError error;
  Errc code = Errc::kInternal;
};

PublishError describe(const Publish& request, const PublishResult& result);

}  // namespace caisson::pubsub
