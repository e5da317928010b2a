#include "capabilities/state/dapr_errors.hpp"

#include <fmt/format.h>

namespace caisson::state::dapr_errors {

using sdk::ApiError;

namespace {

ApiError make(Errc rpc, std::uint16_t http, std::string code, std::string message) {
  ApiError made;
  made.status = http;
  made.rpc = rpc;
  made.code = std::move(code);
  made.message = std::move(message);
  return made;
}

/// What a store refused: etag errors have codes of their own.
ApiError of_store(Errc why, std::string code, std::string message) {
  if (why == Errc::kAborted) return make(Errc::kAborted, 409, std::move(code), std::move(message));
  if (why == Errc::kInvalidArgument) return make(Errc::kInvalidArgument, 400, std::move(code), std::move(message));
  return make(Errc::kInternal, 500, std::move(code), std::move(message));
}

}  // namespace

ApiError no_store(const Error& error, std::string_view app) {
  const bool unknown = error.code == Errc::kNotFound;
  ApiError made = unknown ? make(Errc::kInvalidArgument, 400, "ERR_STATE_STORE_NOT_FOUND", error.message)
                          : make(error.code, 500, "ERR_STATE_STORE_NOT_CONFIGURED", error.message);
  made.reason = unknown ? "DAPR_STATE_NOT_FOUND" : "DAPR_STATE_NOT_CONFIGURED";
  made.info = {{"appID", std::string(app)}};
  return made;
}

ApiError illegal_key(const Selected& selected, std::string_view key, const Error& error) {
  ApiError made = make(Errc::kInvalidArgument, 400, "ERR_MALFORMED_REQUEST", error.message);
  made.reason = "DAPR_STATE_ILLEGAL_KEY";
  made.resource_type = "state";
  made.resource_name = selected.store;
  made.violation_field = key;
  made.violation = error.message;
  return made;
}

ApiError not_read(const Selected& selected, std::string_view key, std::string_view why) {
  return make(Errc::kInternal, 500, "ERR_STATE_GET",
              fmt::format("fail to get {} from state store {}: {}", key, selected.store, why));
}

ApiError not_saved(const Selected& selected, const Error& error) {
  return of_store(error.code, "ERR_STATE_SAVE",
                  fmt::format("failed saving state in state store {}: {}", selected.store, error.message));
}

ApiError not_deleted(std::string_view key, const Error& error) {
  return of_store(error.code, "ERR_STATE_DELETE",
                  fmt::format("failed deleting state with key {}: {}", key, error.message));
}

ApiError not_deleted(const Selected& selected, const Error& error) {
  return of_store(error.code, "ERR_STATE_BULK_DELETE",
                  fmt::format("failed deleting state in state store {}: {}", selected.store, error.message));
}

ApiError not_transacted(const Error& error) {
  return make(Errc::kInternal, 500, "ERR_STATE_TRANSACTION",
              fmt::format("error while executing state transaction: {}", error.message));
}

ApiError unknown_operation(std::string_view name) {
  return make(Errc::kUnimplemented, 400, "ERR_NOT_SUPPORTED_STATE_OPERATION",
              fmt::format("operation type {} not supported", name));
}

ApiError no_queries(const Selected& selected) {
  ApiError made = make(Errc::kInternal, 500, "ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying");
  made.reason = "DAPR_STATE_QUERYING_NOT_SUPPORTED";
  made.resource_type = "state";
  made.resource_name = selected.store;
  return made;
}

}  // namespace caisson::state::dapr_errors
