#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "bus/wire.hpp"

namespace caisson::invoke {

/// Who is to be called, with what: as a request says it, whichever of the three forms it uses.
struct Invocation {
  /// As the caller wrote it; may carry a namespace ("cart.default").
  std::string app;
  /// The app's path: decoded, cleaned, encoded again; begins with '/'.
  std::string path;
  /// The same without encoding and without the leading '/': names the method for policies.
  std::string method;
};

/// Looks for the app in the header `dapr-app-id` (the whole path is the method then, also one that
/// looks like the third form), then in a basic authentication with the user `dapr-app-id`, then in
/// a path `/v1.0/invoke/{app}/method/{path}`. Nothing: the request names no app. kInvalidArgument:
/// it does, but its path cannot be passed on.
Result<std::optional<Invocation>> find_invocation(std::string_view path, Fields headers);

/// Part of find_invocation(), apart for its tests. The path in the form that is sent to an app:
/// decoded, without `.`, `..` and `//` (never above the root), a last `/` kept; kInvalidArgument
/// for broken escapes, and for '#', '?' and control characters behind them.
Result<Invocation> clean_path(std::string_view path);

/// The password of a basic authentication whose user is `dapr-app-id` (in any case).
std::optional<std::string> app_of_authorization(std::string_view value);

/// Whether an HTTP callee can be called with the method: not CONNECT, nor one that nobody knows.
bool is_verb(std::string_view method);

}  // namespace caisson::invoke
