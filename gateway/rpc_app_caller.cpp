#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "gateway/app_caller.hpp"
#include "gateway/http2_client.hpp"
#include "gateway/rpc_message.hpp"
#include "gateway/trace_context.hpp"
#include "sdk/base64.hpp"

namespace caisson::gateway {

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kType = "application/grpc";
constexpr std::string_view kTraceHeader = "grpc-trace-bin";

/// Headers of a call that are the gateway's own to say, as it frames the messages and knows the deadline;
/// pseudo-headers of the client's request may be among what a capability passes on.
bool is_own(std::string_view name, bool streamed) {
  if (name.starts_with(':')) return true;
  if (equal_ignoring_case(name, "grpc-timeout") || equal_ignoring_case(name, "te")) return true;
  return !streamed && (equal_ignoring_case(name, "grpc-encoding") || equal_ignoring_case(name, "grpc-accept-encoding"));
}

/// The context as gRPC carries it in binary; empty where `traceparent` is none.
std::string trace_in_binary(std::string_view traceparent) {
  TraceContext context;
  if (!is_traceparent(traceparent)) return {};
  std::copy_n(traceparent.begin(), context.text.size(), context.text.begin());
  context.size = context.text.size();
  std::string text = sdk::base64_encode(binary_trace(context));
  while (text.ends_with('=')) text.pop_back();
  return text;
}

/// The headers of a call to a method. What they point to lives in here, in the frame and in the config.
struct CallHead {
  CallHead(const Frame& frame, const AppConfig& config, Nanos now, Deadline deadline) {
    const bool streamed = frame.streamed();
    for (const Field& field : headers_for_app(frame, config)) {
      if (!is_own(field.name, streamed)) headers.push_back(field);
      if (equal_ignoring_case(field.name, "traceparent")) trace = trace_in_binary(field.value);
    }
    if (!trace.empty() && !frame.headers().has(kTraceHeader)) headers.push_back({kTraceHeader, trace});
    finish(now, deadline);
    if (!streamed) headers.push_back({"grpc-accept-encoding", "identity,gzip"});
    head.path = text(frame->path());
  }
  CallHead(std::string_view method, const AppConfig& config, Nanos now, Deadline deadline) {
    headers.push_back({"content-type", kType});
    if (!config.app_token.empty()) headers.push_back({kAppTokenHeader, config.app_token});
    finish(now, deadline);
    head.path = method;
  }
  CallHead(const CallHead&) = delete;

  void finish(Nanos now, Deadline deadline) {
    headers.push_back({"te", "trailers"});
    if (!deadline.is_never()) timeout = format_rpc_timeout(deadline.left(now));
    if (!timeout.empty()) headers.push_back({"grpc-timeout", timeout});
    head.method = "POST";
  }
  net::HttpRequestHead request() {
    head.headers = headers;
    return head;
  }

  std::vector<Field> headers;
  std::string trace;
  std::string timeout;
  net::HttpRequestHead head;
};

/// How a call ended: BodyEnd's fields, from a trailer or from the head of an answer that is nothing else.
/// kInternal: it ended without gRPC's status.
template <class Fields>
Result<BodyEnd> read_end(const Fields& fields) {
  BodyEnd end;
  bool found = false;
  for (const auto& [name, value] : fields) {
    if (name == "grpc-status") {
      found = true;
      const char* const stop = value.data() + value.size();
      const auto [at, error] = std::from_chars(value.data(), stop, end.status);
      const bool known = error == std::errc() && at == stop && end.status <= 16;
      if (!known) end.status = static_cast<std::uint16_t>(Errc::kUnknown);
    } else if (name == "grpc-message") {
      end.message = decode_rpc_text(value);
    } else if (name != "content-type" && name != "content-length") {
      end.trailers.emplace_back(name, value);
    }
  }
  if (!found) return Error{Errc::kInternal, "the app ended the call without a status"};
  return end;
}

Pairs pairs_of(const Http2Fields& fields) {
  Pairs pairs;
  for (std::size_t i = 0; i < fields.size(); ++i) pairs.emplace_back(fields[i].name, fields[i].value);
  return pairs;
}

/// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
Errc code_of_http(std::uint16_t status) {
  switch (status) {
    case 400:
      return Errc::kInternal;
    case 401:
      return Errc::kUnauthenticated;
    case 403:
      return Errc::kPermissionDenied;
    case 404:
      return Errc::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Errc::kUnavailable;
    default:
      return Errc::kUnknown;
  }
}

/// The head of an answer: metadata, or all that there is.
struct AnswerHead {
  std::vector<Field> metadata;  // points into the reply
  std::string_view encoding;
  std::optional<BodyEnd> end;
};

Result<AnswerHead> read_head(const net::ResponseHead& head, bool streamed) {
  AnswerHead answer;
  std::string_view type;
  bool ends = false;
  for (const auto& [name, value] : head.headers) {
    if (name == "content-type") type = value;
    if (name == "grpc-encoding") answer.encoding = value;
    if (name == "grpc-status") ends = true;
    const bool own = name == "content-type" || name == "content-length" || is_own(name, streamed);
    if (!own) answer.metadata.push_back({name, value});
  }
  if (ends) {
    ASSIGN(answer.end, read_end(head.headers));
    answer.metadata.clear();
  } else if (head.status != 200) {
    // An answer all the same: a server that does not know the method may say 404 instead of UNIMPLEMENTED.
    answer.end.emplace();
    answer.end->status = static_cast<std::uint16_t>(code_of_http(head.status));
    answer.end->message = fmt::format("the app answered with HTTP status {}", head.status);
    answer.metadata.clear();
  } else if (!type.starts_with(kType)) {
    return Error{Errc::kUnknown, fmt::format("the app answered with content-type '{}', not gRPC", type)};
  }
  return answer;
}

/// One message and how the call ended.
struct UnaryAnswer {
  std::vector<Field> metadata;
  BodyEnd end;
  Buffer message;
};

Task<Result<UnaryAnswer>> read_unary(Http2Reply& reply, std::size_t limit, Deadline deadline) {
  CO_ASSIGN(AnswerHead head, read_head(reply.head(), false));
  UnaryAnswer answer;
  answer.metadata = std::move(head.metadata);
  if (head.end) {
    answer.end = *std::move(head.end);
  } else {
    // Over the limit by its own word or not: the message is refused once that is clear.
    auto reading = whole_body(reply, limit + kRpcPrefix, deadline);
    auto body = co_await std::move(reading);
    if (!body && body.error().code == Errc::kOutOfRange) {
      co_return Error{Errc::kResourceExhausted, fmt::format("the app's message is larger than {} bytes", limit)};
    }
    CO_TRY(body);
    CO_ASSIGN(answer.end, read_end(pairs_of(reply.trailers())));
    if (answer.end.status == 0) {
      CO_ASSIGN(answer.message, take_rpc_message(*std::move(body), head.encoding, limit));
    }
  }
  if (head.end && answer.end.status == 0) co_return Error{Errc::kInternal, "the app answered without a message"};
  co_return answer;
}

/// Calls in the form of gRPC.
class RpcAppCaller final : public AppCaller {
 public:
  RpcAppCaller(EventLoop& loop, const AppConfig& config, Http2Client::Options options)
      : loop_(loop), config_(config), client_(loop, net::Endpoint(), std::move(options)) {}

  Task<Result<void>> carry(Incoming& call) override {
    if (!is_rpc_call(call.head())) {
      co_return Error{Errc::kFailedPrecondition,
                      fmt::format("app {} speaks {}, this call is plain HTTP", config_.id, config_.app_protocol)};
    }
    auto carrying = call.head().streamed() ? carry_stream(call) : carry_unary(call);
    co_return co_await std::move(carrying);
  }

  Task<Result<Answer>> ask(std::string path, Deadline deadline) override {
    CallHead head(path, config_, loop_.now(), deadline);
    const std::string message = rpc_prefix(0);
    net::HttpRequestBody body;
    body.first = message;
    auto calling = client_.call(head.request(), std::move(body), deadline);
    CO_ASSIGN(Http2Reply reply, co_await std::move(calling));
    auto reading = read_unary(reply, kMaxQueryAnswer, deadline);
    CO_ASSIGN(UnaryAnswer read, co_await std::move(reading));
    Answer answer;
    answer.status = read.end.status;
    answer.body = read.message.to_string();
    co_return answer;
  }

  [[nodiscard]] bool asks_rpcs() const override { return true; }
  [[nodiscard]] bool is_passing(std::uint16_t status) const override { return status == no_answer(); }
  [[nodiscard]] bool is_well(std::uint16_t status) const override { return status == 0; }
  [[nodiscard]] std::uint16_t no_answer() const override { return static_cast<std::uint16_t>(Errc::kUnavailable); }
  [[nodiscard]] std::uint16_t nothing_there() const override {
    return static_cast<std::uint16_t>(Errc::kUnimplemented);
  }
  [[nodiscard]] bool connected() const override { return client_.connected(); }
  void let_go() override { client_.retire(); }
  void move_to(net::Endpoint endpoint) override { client_.move_to(std::move(endpoint)); }

 private:
  Task<Result<void>> carry_unary(Incoming& call) {
    CallHead head(call.head(), config_, loop_.now(), call.deadline());
    std::string message = rpc_prefix(call.head().payload().size());
    message += call.head().payload();
    net::HttpRequestBody body;
    body.first = message;
    auto calling = client_.call(head.request(), std::move(body), call.deadline());
    CO_ASSIGN(Http2Reply reply, co_await std::move(calling));
    auto reading = read_unary(reply, std::min(config_.max_body_size, kMaxPayload), call.deadline());
    CO_ASSIGN(UnaryAnswer read, co_await std::move(reading));
    const std::vector<Field> trailers(read.end.trailers.begin(), read.end.trailers.end());
    Envelope answer;
    answer.status = read.end.status;
    answer.message = read.end.message;
    answer.headers = read.metadata;
    answer.trailers = trailers;
    auto replying = call.reply(answer, std::move(read.message));
    co_return co_await std::move(replying);
  }

  Task<Result<void>> carry_stream(Incoming& call) {
    CallHead head(call.head(), config_, loop_.now(), call.deadline());
    net::HttpRequestBody body;
    body.first = call.head().payload();
    body.rest = [rest = call.rest()](Deadline deadline) mutable { return rest.next(deadline); };
    auto calling = client_.call(head.request(), std::move(body), call.deadline());
    CO_ASSIGN(Http2Reply reply, co_await std::move(calling));
    CO_ASSIGN(AnswerHead read, read_head(reply.head(), true));
    Envelope answer;
    answer.headers = read.metadata;
    auto beginning = call.reply_streamed(answer, Buffer());
    CO_ASSIGN(BodyWriter writer, co_await std::move(beginning));
    const auto end = [&read](Http2Reply& from) {
      return read.end ? Result<BodyEnd>(*read.end) : read_end(pairs_of(from.trailers()));
    };
    auto streaming = stream_body(reply, std::move(writer), end, call.deadline());
    co_await std::move(streaming);
    co_return ok();
  }

  EventLoop& loop_;
  const AppConfig& config_;
  Http2Client client_;
};

}  // namespace

std::unique_ptr<AppCaller> make_rpc_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                           std::function<void()> hung_up) {
  Http2Client::Options options;
  options.hung_up = std::move(hung_up);
  options.tls = std::move(tls);
  return std::make_unique<RpcAppCaller>(loop, config, std::move(options));
}

}  // namespace caisson::gateway
