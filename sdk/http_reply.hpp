#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sdk/request.hpp"

namespace caisson::sdk {

/// An error of Dapr's API. Over HTTP {"errorCode","message","details"?} under `status`; over gRPC (sdk/rpc.hpp)
/// the message under `rpc` with details. Details are given only for errors that have a reason.
struct ApiError {
  std::uint16_t status = 500;
  Errc rpc = Errc::kInternal;
  std::string code;  // ERR_STATE_GET
  std::string message;
  /// google.rpc.ErrorInfo: reason and metadata. Empty reason: no details at all.
  std::string reason;
  std::vector<std::pair<std::string, std::string>> info;
  /// google.rpc.ResourceInfo; empty type: none.
  std::string resource_type;
  std::string resource_name;
  /// google.rpc.BadRequest with one violation; empty field: none. Written before the others.
  std::string violation_field;
  std::string violation;
  /// google.rpc.Help with one link; empty: none.
  std::string help_url;
};

Response error_response(const ApiError& error);
/// 200 with a JSON body.
Response json_response(std::string json);
/// 204 without a body.
Response no_content();

}  // namespace caisson::sdk
