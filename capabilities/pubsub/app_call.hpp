#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "capabilities/pubsub/receiver.hpp"
#include "sdk/capability.hpp"

namespace caisson::pubsub {

/// What an app answered to a call, whole.
struct AppReply {
  std::uint16_t status = 0;
  std::string body;  // empty where it is longer than any verdict can be
};

/// Calls the app with headers beside those of `call`. An Error means that there was no answer, in the
/// terms of attempt_after().
Task<Result<AppReply>> call_app(sdk::Context& context, Envelope call, MessageMetadata headers, std::string body,
                                Deadline deadline);

/// What became of an event when the app gave no answer to it.
Attempt attempt_after(const Error& error);

/// The metadata of a message that may travel as headers: names in lower case, without what is no header and
/// what the call has of its own.
MessageMetadata metadata_headers(const MessageMetadata& metadata);

}  // namespace caisson::pubsub
