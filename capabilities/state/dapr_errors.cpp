#include "capabilities/state/dapr_errors.hpp"

#include <fmt/format.h>

namespace caisson::state::dapr_errors {

namespace {

DaprError make(Errc rpc, std::uint16_t http, std::string code, std::string message) {
  DaprError made;
  made.code = rpc;
  made.error.status = http;
  made.error.code = std::move(code);
  made.error.message = std::move(message);
  return made;
}

/// What a store refused: etag errors have codes of their own.
DaprError of_store(Errc why, std::string code, std::string message) {
  if (why == Errc::kAborted) return make(Errc::kAborted, 409, std::move(code), std::move(message));
  if (why == Errc::kInvalidArgument) return make(Errc::kInvalidArgument, 400, std::move(code), std::move(message));
  return make(Errc::kInternal, 500, std::move(code), std::move(message));
}

}  // namespace

DaprError no_store(const Error& error, std::string_view app) {
  const bool unknown = error.code == Errc::kNotFound;
  DaprError made = unknown ? make(Errc::kInvalidArgument, 400, "ERR_STATE_STORE_NOT_FOUND", error.message)
                           : make(error.code, 500, "ERR_STATE_STORE_NOT_CONFIGURED", error.message);
  made.error.reason = unknown ? "DAPR_STATE_NOT_FOUND" : "DAPR_STATE_NOT_CONFIGURED";
  made.error.info = {{"appID", std::string(app)}};
  return made;
}

DaprError illegal_key(const Selected& selected, std::string_view key, const Error& error) {
  DaprError made = make(Errc::kInvalidArgument, 400, "ERR_MALFORMED_REQUEST", error.message);
  made.error.reason = "DAPR_STATE_ILLEGAL_KEY";
  made.error.resource_type = "state";
  made.error.resource_name = selected.store;
  made.error.violation_field = key;
  made.error.violation = error.message;
  return made;
}

DaprError not_read(const Selected& selected, std::string_view key, std::string_view why) {
  return make(Errc::kInternal, 500, "ERR_STATE_GET",
              fmt::format("fail to get {} from state store {}: {}", key, selected.store, why));
}

DaprError not_saved(const Selected& selected, const Error& error) {
  return of_store(error.code, "ERR_STATE_SAVE",
                  fmt::format("failed saving state in state store {}: {}", selected.store, error.message));
}

DaprError not_deleted(std::string_view key, const Error& error) {
  return of_store(error.code, "ERR_STATE_DELETE",
                  fmt::format("failed deleting state with key {}: {}", key, error.message));
}

DaprError not_deleted(const Selected& selected, const Error& error) {
  return of_store(error.code, "ERR_STATE_BULK_DELETE",
                  fmt::format("failed deleting state in state store {}: {}", selected.store, error.message));
}

DaprError not_transacted(const Error& error) {
  return make(Errc::kInternal, 500, "ERR_STATE_TRANSACTION",
              fmt::format("error while executing state transaction: {}", error.message));
}

DaprError unknown_operation(std::string_view name) {
  return make(Errc::kUnimplemented, 400, "ERR_NOT_SUPPORTED_STATE_OPERATION",
              fmt::format("operation type {} not supported", name));
}

DaprError no_queries(const Selected& selected) {
  DaprError made = make(Errc::kInternal, 500, "ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying");
  made.error.reason = "DAPR_STATE_QUERYING_NOT_SUPPORTED";
  made.error.resource_type = "state";
  made.error.resource_name = selected.store;
  return made;
}

}  // namespace caisson::state::dapr_errors
