#pragma once

#include <string>
#include <string_view>

#include "capabilities/state/service.hpp"
#include "sdk/http_reply.hpp"

/// The errors of Dapr's state API, for both its protocols. Texts are Dapr's.
namespace caisson::state::dapr_errors {

/// Service::select() gave that.
sdk::ApiError no_store(const Error& error, std::string_view app);
/// Service::stored_key() gave that.
sdk::ApiError illegal_key(const Selected& selected, std::string_view key, const Error& error);
sdk::ApiError not_read(const Selected& selected, std::string_view key, std::string_view why);
/// joined_error() gave that.
sdk::ApiError not_saved(const Selected& selected, const Error& error);
sdk::ApiError not_deleted(std::string_view key, const Error& error);
/// Of several keys; gRPC only.
sdk::ApiError not_deleted(const Selected& selected, const Error& error);
sdk::ApiError not_transacted(const Error& error);
sdk::ApiError unknown_operation(std::string_view name);
sdk::ApiError no_queries(const Selected& selected);

}  // namespace caisson::state::dapr_errors
