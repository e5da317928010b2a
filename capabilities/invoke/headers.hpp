#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/wire.hpp"

/// Which headers and gRPC metadata go through, in which form.
namespace caisson::invoke {

using OwnedFields = std::vector<std::pair<std::string, std::string>>;

/// Headers of one connection only, never passed on (RFC 9110 section 7.6.1).
bool is_hop_by_hop(std::string_view name);

/// What of a caller's headers goes to the callee: not those of the connection, of the body's framing
/// (`keep_length` for a streamed body, whose length the app's side needs), of this API, or the
/// callers' and callee's names, which only the runtime may say. The fields point into `given`.
std::vector<Field> request_headers(Fields given, bool keep_length);

/// What of the callee's headers goes to the caller. The fields point into `given`.
std::vector<Field> response_headers(Fields given);

/// Metadata of a gRPC request as headers for an HTTP callee: `grpc-…` gets the prefix `dapr-`; what
/// belongs to the call itself (content type, encodings, timeout) and binary values stay behind.
OwnedFields headers_of_metadata(const std::vector<Field>& metadata);

/// HTTP headers as gRPC metadata: names in lower case, permanent HTTP headers with the prefix `dapr-`;
/// what no metadata may be is left out.
OwnedFields metadata_of_headers(const std::vector<Field>& headers);

/// What of a proxied call's metadata goes to the app.
std::vector<Field> proxied_metadata(Fields given);
/// What of the app's leading metadata goes to the caller of a gRPC method.
std::vector<Field> answered_metadata(Fields given);

std::vector<Field> views_of(const OwnedFields& fields);

}  // namespace caisson::invoke
