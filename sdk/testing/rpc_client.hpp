#pragma once

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>
#include <vector>

#include "sdk/testing/fake_gateway.hpp"

namespace caisson::testing {

/// How a gRPC call ended, as its client sees it.
struct RpcAnswer {
  Errc code = Errc::kUnknown;
  std::string message;
  /// Of google.rpc.ErrorInfo; empty: there is none.
  std::string reason;
  std::string domain;
  /// "BadRequest", "ResourceInfo", "ErrorInfo", in order.
  std::vector<std::string> details;
  std::string body;

  [[nodiscard]] bool ok() const { return code == Errc::kOk; }
};

/// Makes one of what the capability said.
RpcAnswer rpc_answer(const Answer& answer);

/// Calls a method of dapr.proto.runtime.v1.Dapr with raw bytes as its message.
RpcAnswer call_rpc(FakeGateway& gateway, const std::string& method, std::string message,
                   const std::string& app = "shop");
/// The same with a message; `response` is filled in when the call is OK.
RpcAnswer call_rpc(FakeGateway& gateway, const std::string& method, const google::protobuf::MessageLite& request,
                   google::protobuf::MessageLite* response = nullptr, const std::string& app = "shop");

}  // namespace caisson::testing
