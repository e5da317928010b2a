#include "sdk/rpc.hpp"

#include <fmt/format.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include "bus/gzip.hpp"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sdk/base64.hpp"

namespace caisson::sdk {

namespace {

constexpr std::size_t kPrefix = 5;
constexpr std::string_view kDetailsTrailer = "grpc-status-details-bin";

/// Of the message at the beginning of `bytes`; nothing while its prefix is not all there.
std::optional<std::size_t> message_size(std::string_view bytes) {
  if (bytes.size() < kPrefix) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefix; ++i) size = (size << 8) | static_cast<unsigned char>(bytes[i]);
  return size;
}

template <class Detail>
void add_detail(google::rpc::Status& status, std::string_view type, const Detail& detail) {
  google::protobuf::Any* const any = status.add_details();
  any->set_type_url("type.googleapis.com/google.rpc." + std::string(type));
  detail.SerializeToString(any->mutable_value());
}

std::vector<std::pair<std::string, std::string>> trailers_of(const RpcStatus& status) {
  if (status.details.empty()) return {};
  return {{std::string(kDetailsTrailer), base64_encode(status.details)}};
}

}  // namespace

Route dapr_rpc(std::string_view method, std::string group, std::string version) {
  Route route;
  route.rpc = Rpc::kUnary;
  route.method = "POST";
  route.path = fmt::format("/dapr.proto.runtime.v1.Dapr/{}", method);
  route.group = std::move(group);
  route.version = std::move(version);
  route.errors = ErrorShape::kGrpc;
  return route;
}

Result<void> parse_message(std::string_view bytes, google::protobuf::MessageLite& message) {
  // The library would write a line about every text that is not UTF-8, as often as a client likes.
  [[maybe_unused]] static const auto former = google::protobuf::SetLogHandler(nullptr);
  if (bytes.size() <= kMaxPayload && message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return ok();
  return Error{Errc::kInternal, fmt::format("grpc: error unmarshalling request: it is no {}", message.GetTypeName())};
}

RpcStatus rpc_status(Errc code, const ApiError& error) {
  RpcStatus status{code, error.message, {}};
  if (error.reason.empty()) return status;
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(code));
  rich.set_message(error.message);
  if (!error.violation_field.empty()) {
    google::rpc::BadRequest bad;
    auto* const violation = bad.add_field_violations();
    violation->set_field(error.violation_field);
    violation->set_description(error.violation);
    add_detail(rich, "BadRequest", bad);
  }
  if (!error.resource_type.empty()) {
    google::rpc::ResourceInfo resource;
    resource.set_resource_type(error.resource_type);
    resource.set_resource_name(error.resource_name);
    add_detail(rich, "ResourceInfo", resource);
  }
  google::rpc::ErrorInfo info;
  info.set_reason(error.reason);
  info.set_domain("dapr.io");
  for (const auto& [name, value] : error.info) (*info.mutable_metadata())[name] = value;
  add_detail(rich, "ErrorInfo", info);
  if (!error.help_url.empty()) {
    google::rpc::Help help;
    help.add_links()->set_url(error.help_url);
    add_detail(rich, "Help", help);
  }
  status.details = rich.SerializeAsString();
  return status;
}

RpcStatus rpc_status_with_reason(ApiError error) {
  if (error.reason.empty()) error.reason = error.code;
  return rpc_status(error);
}

Response rpc_response(std::string message) {
  Response response;
  response.status = 0;
  response.body = Buffer(std::move(message));
  return response;
}

Response rpc_response(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  if (size > kMaxPayload) {
    return rpc_response(RpcStatus{
        Errc::kResourceExhausted, fmt::format("the answer of {} bytes is larger than a message may be", size), {}});
  }
  return rpc_response(message.SerializeAsString());
}

Response rpc_response(const RpcStatus& status) {
  Response response;
  response.status = static_cast<std::uint16_t>(status.code);
  response.message = status.message;
  response.trailers = trailers_of(status);
  return response;
}

BodyEnd rpc_end(const RpcStatus& status) {
  return {static_cast<std::uint16_t>(status.code), status.message, trailers_of(status)};
}

Task<void> refuse_stream(Request request, RpcStatus status) {
  auto answering = request.reply(rpc_response(status));
  [[maybe_unused]] const auto sent = co_await std::move(answering);  // else nobody waits for it any more
}

Task<Result<std::optional<std::string>>> RpcReader::next(Deadline deadline) {
  std::optional<std::size_t> size;
  while (true) {
    size = message_size(bytes_);
    if (size && *size > limit_) co_return Error{Errc::kResourceExhausted, "a message is over the limit"};
    if (size && bytes_.size() >= kPrefix + *size) break;
    auto reading = rest_.next(deadline);
    CO_ASSIGN(const std::optional<Buffer> piece, co_await std::move(reading));
    if (!piece) {
      if (bytes_.empty()) co_return std::optional<std::string>();
      co_return Error{Errc::kInternal, "the stream ended inside a message"};
    }
    bytes_ += piece->view();
  }
  const bool packed = bytes_[0] != 0;
  std::string message = bytes_.substr(kPrefix, *size);
  bytes_.erase(0, kPrefix + *size);
  if (!packed) co_return std::optional<std::string>(std::move(message));
  if (encoding_ != "gzip") {
    co_return Error{Errc::kUnimplemented, "grpc-encoding '" + encoding_ + "' is not supported"};
  }
  CO_ASSIGN(std::string unpacked, gunzip(message, limit_));
  co_return std::optional<std::string>(std::move(unpacked));
}

std::string rpc_frame(std::string_view message) {
  std::string frame(kPrefix, '\0');
  for (std::size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>((message.size() >> (24 - 8 * i)) & 0xFF);
  frame += message;
  return frame;
}

}  // namespace caisson::sdk
