#include "sdk/testing/rpc_client.hpp"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sdk/base64.hpp"

namespace caisson::testing {

RpcAnswer rpc_answer(const Answer& answer) {
  RpcAnswer out;
  out.body = answer.body;
  if (answer.error.code != Errc::kOk) {
    out.code = answer.error.code;
    out.message = answer.error.message;
    return out;
  }
  out.code = errc_from_wire(static_cast<std::uint8_t>(answer.status));
  out.message = answer.message;
  for (const auto& [name, value] : answer.trailers) {
    google::rpc::Status status;
    if (name != "grpc-status-details-bin" || !status.ParseFromString(sdk::base64_decode(value).value_or(""))) continue;
    for (const google::protobuf::Any& detail : status.details()) {
      out.details.push_back(detail.type_url().substr(detail.type_url().rfind('.') + 1));
      google::rpc::ErrorInfo info;
      if (out.details.back() == "ErrorInfo" && info.ParseFromString(detail.value())) {
        out.reason = info.reason();
        out.domain = info.domain();
      }
    }
  }
  return out;
}

RpcAnswer call_rpc(FakeGateway& gateway, const std::string& method, std::string message, const std::string& app) {
  Ask ask;
  ask.method = "POST";
  ask.path = "/dapr.proto.runtime.v1.Dapr/" + method;
  ask.body = std::move(message);
  ask.app = app;
  return rpc_answer(gateway.ask(ask));
}

RpcAnswer call_rpc(FakeGateway& gateway, const std::string& method, const google::protobuf::MessageLite& request,
                   google::protobuf::MessageLite* response, const std::string& app) {
  RpcAnswer answer = call_rpc(gateway, method, request.SerializeAsString(), app);
  if (answer.ok() && response != nullptr && !response->ParseFromString(answer.body)) {
    answer.code = Errc::kDataLoss;
    answer.message = "the answer is no " + response->GetTypeName();
  }
  return answer;
}

}  // namespace caisson::testing
