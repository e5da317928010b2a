#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bus/link.hpp"
#include "bus/manifest.hpp"
#include "sdk/http_reply.hpp"
#include "sdk/request.hpp"

namespace google::protobuf {
class MessageLite;
}

/// gRPC as a capability sees it: on a unary route a body is one message, on a streaming one a row of
/// messages with gRPC's prefix. Errc has gRPC's numbers. Framing on the wire is the gateway's business.
namespace caisson::sdk {

/// A unary method of the service dapr.proto.runtime.v1.Dapr; `group` and `version` as allow lists name it.
Route dapr_rpc(std::string_view method, std::string group, std::string version);

/// Reads a whole message. kInternal, as servers of gRPC say it, when the bytes are none. Any thread.
Result<void> parse_message(std::string_view bytes, google::protobuf::MessageLite& message);

/// How a call ended: code, text, and google.rpc details.
struct RpcStatus {
  Errc code = Errc::kOk;
  std::string message;
  /// A serialized google.rpc.Status; empty: no details.
  std::string details;

  [[nodiscard]] bool ok() const { return code == Errc::kOk; }
};

/// The status of an error of Dapr's API under `code`, with the details that ApiError asks for: one
/// ErrorInfo (domain dapr.io) where it has a reason, BadRequest and ResourceInfo before it.
RpcStatus rpc_status(Errc code, const ApiError& error);
inline RpcStatus rpc_status(const ApiError& error) { return rpc_status(error.rpc, error); }
/// The same for APIs whose errors all have an ErrorInfo: its reason is the HTTP API's code where there is no
/// other.
RpcStatus rpc_status_with_reason(ApiError error);

/// The answer of a unary call: one serialized message.
Response rpc_response(std::string message);
/// kResourceExhausted instead of a message that is too large for a frame.
Response rpc_response(const google::protobuf::MessageLite& message);
Response rpc_response(const RpcStatus& status);

/// How a stream ends.
BodyEnd rpc_end(const RpcStatus& status);
/// A header of a resumable stream. In the answer's head: what the stream is taken up by when this process goes
/// away. In a request: that of the stream it takes up; whose client knows what it was told before.
inline constexpr std::string_view kResumeToken = "caisson-resume-token";
/// Answers a call on a streaming route with a status and no message.
Task<void> refuse_stream(Request request, RpcStatus status);

/// Takes messages out of a stream with gRPC's prefix (one byte compressed or not, four bytes length).
class RpcReader {
 public:
  /// `first` is the piece that came with the head; `encoding` the header grpc-encoding.
  RpcReader(std::string first, BodyReader rest, std::string encoding, std::size_t limit)
      : bytes_(std::move(first)), rest_(std::move(rest)), encoding_(std::move(encoding)), limit_(limit) {}

  /// Of a request.
  RpcReader(Request& request, std::size_t limit)
      : RpcReader(std::string(request.body()), request.incoming().rest(), std::string(request.header("grpc-encoding")),
                  limit) {}

  /// The next message, or nothing at the end. kResourceExhausted: a message over the limit;
  /// kInternal: a stream that ends inside a message; kUnimplemented: an encoding that is not gzip.
  Task<Result<std::optional<std::string>>> next(Deadline deadline);
  /// What the other side said at the end.
  [[nodiscard]] const BodyEnd& end() const { return rest_.end(); }

 private:
  std::string bytes_;
  BodyReader rest_;
  std::string encoding_;
  std::size_t limit_;
};

/// The message with its prefix, uncompressed.
std::string rpc_frame(std::string_view message);

}  // namespace caisson::sdk
