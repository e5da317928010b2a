#pragma once

#include <string>
#include <string_view>

#include "capabilities/state/service.hpp"
#include "sdk/http_reply.hpp"

/// The errors of Dapr's state API, for both its protocols: HTTP says `error`, gRPC says `code` with the
/// details of `error`. Texts are Dapr's.
namespace caisson::state::dapr_errors {

struct DaprError {
  Errc code = Errc::kInternal;
  sdk::ApiError error;
};

/// Service::select() gave that.
DaprError no_store(const Error& error, std::string_view app);
/// Service::stored_key() gave that.
DaprError illegal_key(const Selected& selected, std::string_view key, const Error& error);
DaprError not_read(const Selected& selected, std::string_view key, std::string_view why);
/// joined_error() gave that.
DaprError not_saved(const Selected& selected, const Error& error);
DaprError not_deleted(std::string_view key, const Error& error);
/// Of several keys; gRPC only.
DaprError not_deleted(const Selected& selected, const Error& error);
DaprError not_transacted(const Error& error);
DaprError unknown_operation(std::string_view name);
DaprError no_queries(const Selected& selected);

}  // namespace caisson::state::dapr_errors
